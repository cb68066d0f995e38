from __future__ import annotations

from pathlib import Path

import pytest

from shoal.memory import preflight

MIB = 2**20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's 64 MiB, of which 60 are free."""
    monkeypatch.setattr(preflight, "filesystem_nbytes", lambda _: 64 * MIB)
    monkeypatch.setattr(preflight, "free_nbytes", lambda _: 60 * MIB)


def test_enough_is_nothing_to_tell(folder: Path) -> None:
    assert preflight.shortage(MIB, 3, folder) == ""


@pytest.mark.usefixtures("small")
def test_a_shortage_is_explained_with_the_lines_that_mend_it(folder: Path) -> None:
    assert preflight.shortage(None, 3, folder).splitlines() == [
        f"shared memory is small: {folder} has 60 MiB of 64 MiB free, advised are 512 MiB; requests are refused while "
        "it is full. To enlarge it:",
        '  docker compose  shm_size: "1gb" under the service',
        "  docker run      --shm-size=1g",
        f"  elsewhere       mount -o remount,size=1g {folder}",
    ]


@pytest.mark.usefixtures("small")
def test_a_limit_of_ones_own_is_what_counts(folder: Path) -> None:
    assert preflight.shortage(20 * MIB, 3, folder) == ""
    text = preflight.shortage(700 * MIB, 3, folder)
    assert "3 processes with --shm-limit=734003200 may use 2.1 GiB" in text
    assert 'shm_size: "3gb"' in text


@pytest.mark.usefixtures("small")
def test_who_wants_none_is_told_nothing(folder: Path) -> None:
    assert preflight.shortage(0, 3, folder) == ""


def test_where_there_is_none_it_is_said(folder: Path) -> None:
    text = preflight.shortage(None, 3, folder / "missing")
    assert (
        text
        == f"shared memory is not used, {folder}/missing is no tmpfs that can be written: tensors travel in messages"
    )
