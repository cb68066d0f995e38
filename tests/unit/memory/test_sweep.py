from __future__ import annotations

from pathlib import Path

from segments import descriptors, names
from shoal.memory import Arena
from shoal.memory.sweep import sweep
from wall_clock import WallClock


def dead_segment(folder: Path, clock: WallClock, owner: str = "dead-1", server: str = "") -> str:
    """A segment as its owner leaves it that is killed: whole, and without a lock."""
    arena = Arena.open(owner, 2**20, folder, server=server, clock=clock)
    arena.allocate(8192, "x")
    name = f"shoal-{owner}-1"
    (folder / "kept").hardlink_to(folder / name)
    arena.close()
    (folder / "kept").rename(folder / name)
    return name


def test_segments_of_dead_owners_go_after_the_grace(folder: Path, clock: WallClock) -> None:
    name = dead_segment(folder, clock)
    clock.now += 4.9
    assert sweep(folder, clock=clock) == []
    clock.now += 0.2
    assert sweep(folder, clock=clock) == [name]
    assert (names(folder), descriptors(folder)) == ([], [])


def test_without_grace_they_go_at_once(folder: Path, clock: WallClock) -> None:
    name = dead_segment(folder, clock)
    assert sweep(folder, 0.0, clock=clock) == [name]


def test_a_clock_that_was_put_back_does_not_keep_them_for_ever(folder: Path, clock: WallClock) -> None:
    name = dead_segment(folder, clock)
    clock.now -= 500
    assert sweep(folder, clock=clock) == [name]


def test_segments_of_living_owners_stay(folder: Path, arena: Arena, clock: WallClock) -> None:
    arena.allocate(8192, "x")
    clock.now += 1000
    assert sweep(folder, 0.0, clock=clock) == []
    assert names(folder) == ["shoal-owner-1-1"]


def test_only_those_of_a_server_go_when_it_is_named(folder: Path, clock: WallClock) -> None:
    mine, other = dead_segment(folder, clock, "a", server="s1"), dead_segment(folder, clock, "b", server="s2")
    assert sweep(folder, 0.0, server="s1", clock=clock) == [mine]
    assert names(folder) == [other]


def test_files_that_are_no_segments_stay(folder: Path, clock: WallClock) -> None:
    (folder / "shoal-looks-like-1").write_bytes(b"something else" * 100)
    (folder / "shoal-empty-1").touch()
    (folder / "shoal-folder-1").mkdir()
    (folder / "shoal-link-1").symlink_to("/etc/hostname")
    (folder / "other").write_text("of others")
    before = names(folder)
    assert sweep(folder, 0.0, clock=clock) == []
    assert names(folder) == before


def test_a_folder_that_is_not_there_is_nothing_to_sweep(folder: Path) -> None:
    assert sweep(folder / "missing") == []


def test_opening_an_arena_sweeps(folder: Path, clock: WallClock) -> None:
    dead_segment(folder, clock)
    Arena.open("owner-2", 2**20, folder).close()
    assert names(folder) == []
