from __future__ import annotations

from pathlib import Path

import pytest

from shoal.core.errors import InvalidArgument
from shoal.memory import open_arena
from shoal.memory.inspection import inspect


def test_the_environment_names_limit_and_server(folder: Path) -> None:
    arena = open_arena("owner-1", {"SHOAL_SHM_LIMIT": "1048576", "SHOAL_SHM_SERVER": "s1"}, folder)
    assert arena is not None
    arena.allocate(8192, "x")
    assert arena.limit_nbytes == 1048576
    assert [segment.header.server for segment in inspect(folder)] == ["s1"]
    arena.close()


def test_a_limit_of_nothing_is_no_arena() -> None:
    assert open_arena("test-settings", {"SHOAL_SHM_LIMIT": "0"}) is None


@pytest.mark.parametrize("text", ["1g", "-1", "1.5", "half"])
def test_a_limit_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"SHOAL_SHM_LIMIT is '{text}'"):
        open_arena("test-settings", {"SHOAL_SHM_LIMIT": text})


def test_shared_memory_that_cannot_be_used_is_no_arena_and_one_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_arena("owner-1", {}, folder / "missing") is None
    assert [record.message for record in caplog.records] == ["shared memory not used"]
