"""An arena with a manual clock in a folder of its own, and a reader of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segments import segment_folder
from shoal.memory import Arena, ArenaReader
from wall_clock import WallClock


@pytest.fixture
def folder() -> Iterator[Path]:
    with segment_folder() as made:
        yield made


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def arena(folder: Path, clock: WallClock) -> Iterator[Arena]:
    made = Arena.open("owner-1", 8 * 2**20, folder, clock=clock)
    yield made
    made.close()


@pytest.fixture
def reader(arena: Arena, folder: Path) -> Iterator[ArenaReader]:
    made = ArenaReader(arena.host, folder)
    yield made
    made.close()
