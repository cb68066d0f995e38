from __future__ import annotations

import os
from pathlib import Path

from segments import descriptors
from shoal.memory import Arena
from shoal.memory.inspection import Holding, inspect
from wall_clock import WallClock


def test_a_segment_tells_whose_it_is_and_who_holds_what(folder: Path, arena: Arena, clock: WallClock) -> None:
    for nbytes, holder in ((60_000, "gateway-1"), (61_000, "scheduler"), (62_000, "gateway-1"), (63_000, "gone")):
        arena.allocate(nbytes, holder)
    arena.free(4)
    (segment,) = inspect(folder)
    assert (segment.name, segment.header.owner, segment.header.pid) == ("shoal-owner-1-1", "owner-1", os.getpid())
    assert (segment.is_alive, segment.header.created) == (True, clock.now)
    assert segment.nbytes == (folder / segment.name).stat().st_size
    assert (segment.used_blocks, segment.used_nbytes) == (3, 183_000)
    assert segment.holdings == (Holding("gateway-1", 2, 122_000), Holding("scheduler", 1, 61_000))


def test_a_long_holder_is_cut_between_characters(folder: Path, arena: Arena) -> None:
    arena.allocate(60_000, "x" * 39 + "é")
    (segment,) = inspect(folder)
    assert segment.holdings == (Holding("x" * 39, 1, 60_000),)


def test_other_files_are_left_out(folder: Path, arena: Arena) -> None:
    (folder / "shoal-looks-like-1").write_bytes(b"something else" * 100)
    assert list(inspect(folder)) == []
    assert descriptors(folder) == []
