from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.core.errors import InternalError, InvalidArgument
from shoal.repository import labels
from shoal.repository.config.text import parse_text

MakeModel = Callable[..., Path]


def config(filename: str) -> dict[str, object]:
    return parse_text(f'output [ {{ name: "PLAIN" }}, {{ name: "CLASS" label_filename: "{filename}" }} ]', "m")


def test_one_label_per_line(make_model: MakeModel) -> None:
    directory = make_model(None, {"labels.txt": "cat\r\n\nan owl\u2028or two\nlast"})
    assert labels.read(config("labels.txt"), str(directory)) == {"CLASS": ["cat", "", "an owl\u2028or two", "last"]}


def test_a_missing_file_is_named(make_model: MakeModel) -> None:
    directory = make_model(None)
    with pytest.raises(InternalError) as caught:
        labels.read(config("absent.txt"), str(directory))
    assert caught.value.message == (
        f"failed to open text file for read {directory}/absent.txt: No such file or directory"
    )


@pytest.mark.parametrize("filename", ["../other/labels.txt", "/etc/hostname"])
def test_files_outside_the_model_are_refused(make_model: MakeModel, filename: str) -> None:
    with pytest.raises(InvalidArgument, match="must stay within the model directory"):
        labels.read(config(filename), str(make_model(None)))


def test_a_name_that_no_file_can_have_is_an_error(tmp_path: Path) -> None:
    config = {"output": [{"name": "B", "label_filename": "a\0b"}]}
    with pytest.raises(InvalidArgument, match=r"label_filename 'a\\x00b' is no file name: embedded null byte"):
        labels.read(config, str(tmp_path))
