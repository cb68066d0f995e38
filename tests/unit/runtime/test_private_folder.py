from __future__ import annotations

import os
import time
from pathlib import Path

from shoal.runtime.private_folder import PREFIX, PrivateFolder, sweep


def test_the_folder_is_private_and_disappears(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "store").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_living_owner_is_left_alone(tmp_path: Path) -> None:
    with PrivateFolder(tmp_path) as folder:
        assert sweep(tmp_path) == []
        assert folder.exists()


def test_the_folder_of_a_dead_owner_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / f"{PREFIX}dead"
    (folder / "broker").mkdir(parents=True)
    (folder / "lock").touch()
    assert sweep(tmp_path) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_being_made_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / f"{PREFIX}nascent"
    folder.mkdir()
    assert sweep(tmp_path) == []
    an_hour_ago = time.time() - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))
    assert sweep(tmp_path) == [folder]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    assert sweep(tmp_path) == []
    assert elsewhere.exists()
