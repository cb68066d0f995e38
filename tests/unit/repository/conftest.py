"""What the repository's tests share: configurations from text, and model directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.repository.config.json_form import JsonForm
from shoal.repository.config.text import parse_text
from shoal.repository.normalize import normalize
from shoal.repository.settings import RepositorySettings

MakeForm = Callable[[str], JsonForm]
MakeModel = Callable[..., Path]


@pytest.fixture
def form() -> MakeForm:
    """A normalised configuration of model `m`, backend `python` unless the text says otherwise."""

    def make(text: str) -> JsonForm:
        config = parse_text(text, "m/config.pbtxt")
        config["name"] = config["name"] or "m"
        if not config["backend"] and not config["platform"]:
            config["backend"] = "python"
        return normalize(config)

    return make


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Writes a model directory with a configuration (None: none) and files by relative path."""

    def make(config: str | None = None, files: dict[str, str] | None = None, name: str = "m") -> Path:
        directory = tmp_path / name
        directory.mkdir()
        contents = dict(files or {"1/model.py": ""})
        if config is not None:
            contents["config.pbtxt"] = config
        for path, text in contents.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
        return directory

    return make


@pytest.fixture
def settings() -> RepositorySettings:
    return RepositorySettings((), True, "", {"": {"threads": "1"}, "python": {"shm": "2"}}, 4, 30.0)
