from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.core.errors import InternalError
from shoal.repository import snapshot
from shoal.repository.snapshot import Item, Snapshot

MakeModel = Callable[..., Path]


def test_contents_are_listed_with_folders_and_without_caches(make_model: MakeModel) -> None:
    directory = make_model('name: "m"', {"1/model.py": "x", "1/__pycache__/model.pyc": "", "labels.txt": "a\n"})
    found = snapshot.take(str(directory))
    assert found.name == "m"
    assert [(item.path, item.is_folder, item.size) for item in found.items] == [
        ("1", True, 0),
        ("1/model.py", False, 1),
        ("config.pbtxt", False, 9),
        ("labels.txt", False, 2),
    ]
    assert found.folders() == ("1",)
    assert found.has("1") and not found.has_file("1")
    assert found.has_file("1/model.py") and not found.has("2")


def test_links_are_followed_and_circles_end(make_model: MakeModel) -> None:
    directory = make_model(None, {"1/model.py": "x"})
    (directory / "1" / "circle").symlink_to(directory)
    (directory / "2").symlink_to(directory / "1")
    found = snapshot.take(str(directory))
    assert [item.path for item in found.items] == ["1", "1/circle", "1/model.py", "2", "2/circle", "2/model.py"]


def test_links_that_lead_nowhere_are_left_out(make_model: MakeModel) -> None:
    directory = make_model(None, {"1/model.py": "x"})
    (directory / "circle").symlink_to(directory / "circle")
    (directory / "gone").symlink_to(directory / "nothing")
    assert [item.path for item in snapshot.take(str(directory)).items] == ["1", "1/model.py"]


def test_what_vanishes_while_it_is_looked_at_is_left_out(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = make_model(None, {"1/model.py": "x", "1/copy/part": "x"})
    look = os.scandir

    def vanish(path: str) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("copy"):
            shutil.rmtree(path)
        return look(path)

    monkeypatch.setattr(os, "scandir", vanish)
    assert [item.path for item in snapshot.take(str(directory)).items] == ["1", "1/model.py"]


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"unable to read model directory '.*gone'"):
        snapshot.take(str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("mtimes_ns", "remaining_ns"),
    [((), 0), ((100,), 0), ((100, 900), 100), ((950,), 150), ((5000,), 0), ((1000,), 200)],
)
def test_quiet_time_counts_from_the_newest_file(mtimes_ns: tuple[int, ...], remaining_ns: int) -> None:
    items = tuple(Item(str(n), False, 0, mtime_ns) for n, mtime_ns in enumerate(mtimes_ns))
    assert snapshot.quiet_in_ns(Snapshot("m", items), now_ns=1000, quiet_ns=200) == remaining_ns


@pytest.mark.parametrize(
    ("files", "config_name", "expected"),
    [
        ((), "", None),
        (("config.pbtxt",), "", "config.pbtxt"),
        (("config.pbtxt", "configs/fast.pbtxt"), "", "config.pbtxt"),
        (("config.pbtxt", "configs/fast.pbtxt"), "fast", "configs/fast.pbtxt"),
        (("config.pbtxt",), "fast", "config.pbtxt"),
        (("configs/fast.pbtxt",), "slow", None),
    ],
)
def test_configuration_file(files: tuple[str, ...], config_name: str, expected: str | None) -> None:
    contents = Snapshot("m", tuple(Item(path, False, 1, 1) for path in files))
    assert snapshot.config_path(contents, config_name) == expected


def test_generation_names_the_content(make_model: MakeModel) -> None:
    directory = make_model('name: "m"')
    before = snapshot.take(str(directory))
    name = snapshot.generation(before, {"name": "m"}, {}, True)
    assert len(name) == 16 and int(name, 16) >= 0
    assert snapshot.generation(snapshot.take(str(directory)), {"name": "m"}, {}, True) == name
    os.utime(directory / "1" / "model.py", ns=(1, 1))
    others = {
        snapshot.generation(snapshot.take(str(directory)), {"name": "m"}, {}, True),
        snapshot.generation(before, {"name": "m", "max_batch_size": 1}, {}, True),
        snapshot.generation(before, {"name": "m"}, {"threads": "2"}, True),
        snapshot.generation(before, {"name": "m"}, {}, False),
    }
    assert name not in others and len(others) == 4
