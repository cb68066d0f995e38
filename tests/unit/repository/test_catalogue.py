from __future__ import annotations

import os
from pathlib import Path

from shoal.repository import catalogue


def test_models_of_all_repositories(tmp_path: Path) -> None:
    for path in ("one/a/1", "one/both", "two/b", "two/both", "one/.git"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "one" / "readme.txt").write_text("no model")
    found = catalogue.find([str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "one")])
    assert found.directories == {"a": str(tmp_path / "one" / "a"), "b": str(tmp_path / "two" / "b")}
    assert found.duplicates == ("both",)
    assert found.names == ("a", "b", "both")
    assert found.reason == ""


def test_an_unreadable_repository_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "one" / "a").mkdir(parents=True)
    found = catalogue.find([str(tmp_path / "gone"), str(tmp_path / "one")])
    assert found.names == ("a",)
    assert found.reason == f"repository '{tmp_path / 'gone'}' cannot be read: No such file or directory"


def test_one_bad_link_does_not_hide_the_other_models(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    found = catalogue.find([str(tmp_path)])
    assert found.names == ("a",)
    assert found.reason == f"'{tmp_path / 'circle'}' cannot be read: Too many levels of symbolic links"


def test_a_name_that_is_no_text_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkdir(os.fsencode(tmp_path) + b"/b\xff")
    found = catalogue.find([str(tmp_path)])
    assert found.names == ("a",)
    assert found.reason == f"'{tmp_path}/b\\udcff' cannot be a model: its name is not UTF-8"
