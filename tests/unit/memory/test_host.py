from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal.memory import host_id


def test_everybody_who_sees_the_folder_gets_the_same_id(folder: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: host_id(folder), range(64)))
    assert len(found) == 1
    assert len(found.pop()) == 16
    assert os.listdir(folder) == [f"shoal-host-{os.getuid()}"]


def test_folders_are_different_hosts(folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    assert host_id(folder) != host_id(other)


def test_the_file_is_private(folder: Path) -> None:
    host_id(folder)
    assert (folder / f"shoal-host-{os.getuid()}").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "short", "x" * 16, "0123456789abcdef\n"])
def test_a_file_without_an_id_is_made_anew(folder: Path, content: str) -> None:
    path = folder / f"shoal-host-{os.getuid()}"
    path.write_text(content)
    found = host_id(folder)
    assert found == path.read_text() == host_id(folder)


def test_a_file_that_cannot_be_read_is_no_host(folder: Path) -> None:
    (folder / f"shoal-host-{os.getuid()}").symlink_to("/etc/hostname")
    assert host_id(folder) == ""


def test_a_folder_that_is_not_there_or_none_is_no_host(folder: Path) -> None:
    (folder / "file").touch()
    assert (host_id(folder / "missing"), host_id(folder / "file"), host_id(Path("/proc"))) == ("", "", "")
