from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from segments import names, segment_folder
from shoal.memory import Arena
from shoal.runtime.shared_memory import remove_segments


@pytest.fixture
def folder() -> Iterator[Path]:
    with segment_folder() as made:
        yield made


def leave_behind(folder: Path, owner: str, server: str) -> None:
    """A segment of an owner that was killed this moment."""
    arena = Arena.open(owner, 2**20, folder, server=server)
    arena.allocate(8192, "x")
    (folder / "kept").hardlink_to(folder / f"shoal-{owner}-1")
    arena.close()
    (folder / "kept").rename(folder / f"shoal-{owner}-1")


async def test_what_is_left_of_a_server_goes_at_once(folder: Path) -> None:
    leave_behind(folder, "executor-1", "s1")
    leave_behind(folder, "executor-2", "s2")
    await remove_segments("s1", folder)
    assert names(folder) == ["shoal-executor-2-1"]


async def test_an_owner_that_is_still_dying_is_waited_for(folder: Path) -> None:
    arena = Arena.open("executor-1", 2**20, folder, server="s1")
    arena.allocate(8192, "x")
    removal = asyncio.create_task(remove_segments("s1", folder))
    await asyncio.sleep(0)
    assert not removal.done()
    arena.close()
    await removal
    assert names(folder) == []


async def test_an_owner_that_does_not_die_is_left_alone_in_the_end(folder: Path) -> None:
    arena = Arena.open("executor-1", 2**20, folder, server="s1")
    arena.allocate(8192, "x")
    await remove_segments("s1", folder, within_s=0.0)
    assert names(folder) == ["shoal-executor-1-1"]
    arena.close()
