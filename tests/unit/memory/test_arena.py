from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from segments import descriptors, mappings, names
from shoal.core.errors import InvalidArgument, Unavailable
from shoal.memory import Arena, ArenaFull, ArenaReader, host_id
from shoal.memory.inspection import inspect
from wall_clock import WallClock

KIB = 1024
MIB = 1024 * KIB


def test_a_block_is_exactly_as_large_as_asked_for_and_starts_at_a_pages_border(arena: Arena) -> None:
    block = arena.allocate(10_001, "scheduler")
    assert (len(block.memory), block.nbytes, block.holder) == (10_001, 10_001, "scheduler")
    assert not block.memory.readonly
    assert block.ref(0, 1).offset % 4096 == 0


def test_what_is_written_to_a_block_is_read_by_its_reference(arena: Arena, reader: ArenaReader) -> None:
    block = arena.allocate(10_000, "scheduler")
    block.memory[64:74] = b"0123456789"
    assert reader.copy(block.ref(64, 10)) == b"0123456789"


def test_a_reference_must_lie_in_the_block(arena: Arena) -> None:
    block = arena.allocate(10_000, "scheduler")
    for offset, nbytes in ((0, 10_001), (9_999, 2), (-1, 1), (0, -1)):
        with pytest.raises(InvalidArgument, match="not in a block of 10000 bytes"):
            block.ref(offset, nbytes)


def test_generations_count_from_one(arena: Arena) -> None:
    assert [arena.allocate(8 * KIB, "x").generation for _ in range(3)] == [1, 2, 3]
    arena.free(3)
    assert arena.allocate(8 * KIB, "x").generation == 4


def test_a_block_is_freed_once(arena: Arena) -> None:
    block = arena.allocate(8 * KIB, "x")
    assert arena.free(block.generation)
    assert not arena.free(block.generation)
    assert not arena.free(77)


def test_the_blocks_that_are_held_are_listed_oldest_first(arena: Arena) -> None:
    blocks = [arena.allocate(nbytes, "x") for nbytes in (70_000, 8_000, 600_000)]
    arena.free(2)
    assert arena.held() == [blocks[0], blocks[2]]


def test_used_bytes_are_those_of_allocated_blocks(arena: Arena) -> None:
    arena.allocate(65 * KIB, "x")
    arena.allocate(8 * KIB, "x")
    assert arena.used_nbytes == 88 * KIB
    arena.free(1)
    assert arena.used_nbytes == 8 * KIB


def test_a_freed_block_is_used_again_without_a_new_segment(arena: Arena, folder: Path) -> None:
    for _ in range(50):
        arena.free(arena.allocate(600 * KIB, "x").generation)
    assert len(names(folder)) == 1


def test_more_than_the_limit_is_refused_and_said_why(arena: Arena) -> None:
    arena.allocate(4 * MIB, "x")
    with pytest.raises(ArenaFull) as raised:
        arena.allocate(5 * MIB, "x")
    assert "5 MiB were asked for, this process uses 4 MiB of its 8 MiB" in raised.value.message
    assert "--shm-limit" in raised.value.message
    assert "shm_size" in raised.value.message


def test_room_comes_back_when_blocks_are_freed(arena: Arena) -> None:
    blocks = [arena.allocate(3 * MIB, "x") for _ in range(2)]
    with pytest.raises(ArenaFull):
        arena.allocate(4 * MIB, "x")
    for block in blocks:
        arena.free(block.generation)
    assert len(arena.allocate(4 * MIB, "x").memory) == 4 * MIB


def test_segments_take_no_more_than_the_limit(arena: Arena, folder: Path) -> None:
    with pytest.raises(ArenaFull):
        for nbytes in [20 * KIB, 100 * KIB, 700 * KIB] * 100:
            arena.allocate(nbytes, "x")
    assert sum((folder / name).stat().st_size for name in names(folder)) <= arena.limit_nbytes


def test_an_idle_segment_goes_after_ten_seconds(arena: Arena, folder: Path, clock: WallClock) -> None:
    arena.free(arena.allocate(64 * KIB, "x").generation)
    clock.now += 9.9
    arena.tend()
    assert len(names(folder)) == 1
    clock.now += 0.1
    arena.tend()
    assert names(folder) == []


def test_a_segment_in_use_stays(arena: Arena, folder: Path, clock: WallClock) -> None:
    arena.allocate(64 * KIB, "x")
    clock.now += 1000
    arena.tend()
    assert len(names(folder)) == 1


def test_tending_says_that_the_owner_lives(arena: Arena, folder: Path, clock: WallClock) -> None:
    arena.allocate(64 * KIB, "x")
    clock.now += 3
    arena.tend()
    assert [segment.header.alive_at for segment in inspect(folder)] == [1003.0]


def test_tending_removes_segments_of_dead_owners(arena: Arena, folder: Path, clock: WallClock) -> None:
    dead = Arena.open("dead-1", MIB, folder, clock=clock)
    dead.allocate(8 * KIB, "x")
    (folder / names(folder)[0]).rename(folder / "kept")
    dead.close()
    (folder / "kept").rename(folder / "shoal-dead-1-1")
    clock.now += 4.9
    arena.tend()
    assert names(folder) == ["shoal-dead-1-1"]
    clock.now += 0.2
    arena.tend()
    assert names(folder) == []


def test_a_segment_that_somebody_removed_gives_no_more_blocks(arena: Arena, folder: Path, reader: ArenaReader) -> None:
    first = arena.allocate(64 * KIB, "x")
    (folder / names(folder)[0]).unlink()
    arena.tend()
    second = arena.allocate(64 * KIB, "x")
    second.memory[:1] = b"2"
    assert reader.copy(second.ref(0, 1)) == b"2"
    assert arena.free(first.generation)
    del first
    assert [line for line in mappings(folder) if "(deleted)" in line] == []


def test_closing_removes_everything(folder: Path, clock: WallClock) -> None:
    arena = Arena.open("owner-2", 8 * MIB, folder, clock=clock)
    for nbytes in (8 * KIB, 64 * KIB, 600 * KIB):
        arena.allocate(nbytes, "x")
    arena.close()
    arena.close()
    arena.tend()
    assert (names(folder), descriptors(folder), mappings(folder), arena.held()) == ([], [], [], [])


def test_memory_in_use_outlives_its_arena(folder: Path) -> None:
    arena = Arena.open("owner-2", 8 * MIB, folder)
    memory = arena.allocate(64 * KIB, "x").memory
    arena.close()
    memory[:4] = b"test"
    assert bytes(memory[:4]) == b"test"
    del memory
    assert mappings(folder) == []


def test_a_closed_arena_allocates_nothing(folder: Path) -> None:
    arena = Arena.open("owner-2", 8 * MIB, folder)
    arena.close()
    with pytest.raises(Unavailable, match="the arena of 'owner-2' is closed"):
        arena.allocate(8 * KIB, "x")
    assert names(folder) == []


def test_segments_are_private_and_locked(arena: Arena, folder: Path) -> None:
    arena.allocate(64 * KIB, "x")
    path = folder / "shoal-owner-1-1"
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_segments_have_all_their_pages_from_the_start(arena: Arena, folder: Path) -> None:
    arena.allocate(64 * KIB, "x")
    status = (folder / names(folder)[0]).stat()
    assert status.st_blocks * 512 >= status.st_size > 64 * KIB


def test_descriptors_are_not_inherited(arena: Arena, folder: Path) -> None:
    arena.allocate(64 * KIB, "x")
    paths = {f"{folder}/{name}" for name in names(folder)}
    for entry in os.listdir("/proc/self/fd"):
        if Path(f"/proc/self/fd/{entry}").exists() and os.readlink(f"/proc/self/fd/{entry}").split(" ")[0] in paths:
            assert not os.get_inheritable(int(entry))


def test_an_owner_that_can_be_no_file_name_is_refused(folder: Path) -> None:
    for owner in ("", "a/b", "x" * 65, "a b"):
        with pytest.raises(InvalidArgument, match="cannot own an arena"):
            Arena.open(owner, MIB, folder)


def test_a_folder_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be used as shared memory"):
        Arena.open("owner-2", MIB, folder / "missing")


def test_the_limit_is_half_of_the_file_system_by_default(folder: Path) -> None:
    arena = Arena.open("owner-2", folder=folder)
    status = os.statvfs(folder)
    assert arena.limit_nbytes == status.f_blocks * status.f_frsize // 2
    assert arena.host == host_id(folder)
    arena.close()


def test_threads_get_blocks_of_their_own(folder: Path) -> None:
    arena = Arena.open("owner-2", 64 * MIB, folder)
    reader = ArenaReader(arena.host, folder)
    wrong: list[str] = []

    def work(number: int) -> None:
        mark = bytes([number])
        for turn in range(200):
            nbytes = 8 * KIB * (1 + (turn + number) % 7)
            block = arena.allocate(nbytes, f"thread-{number}")
            block.memory[:] = mark * nbytes
            if reader.copy(block.ref(0, nbytes)) != mark * nbytes or not arena.free(block.generation):
                wrong.append(f"{number}: {turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, arena.held(), arena.used_nbytes) == ([], [], 0)
    reader.close()
    arena.close()
    assert (names(folder), descriptors(folder), mappings(folder)) == ([], [], [])


def test_what_an_arena_could_hold_is_known_before_it_is_asked_for(tmp_path: Path) -> None:
    arena = Arena.open("gateway-9", 1 << 20, tmp_path)
    try:
        assert arena.capacity_nbytes == 1 << 20
        largest = (1 << 20) - 4096
        assert arena.could_hold(largest)
        arena.free(arena.allocate(largest, "scheduler").generation)
        assert not arena.could_hold(largest + 1)
        with pytest.raises(ArenaFull):
            arena.allocate(largest + 1, "scheduler")
    finally:
        arena.close()
