from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from shoal.core.errors import InternalError
from shoal.core.model_config import from_json
from shoal.workers.backend import ModelSource
from shoal.workers.python import triton_python_backend_utils
from shoal.workers.python.loader import load_class, model_file


@pytest.fixture(autouse=True)
def restored_imports() -> Iterator[None]:
    path, modules, dont_write = sys.path[:], dict(sys.modules), sys.dont_write_bytecode
    yield
    sys.path[:], sys.dont_write_bytecode = path, dont_write
    for name in set(sys.modules) - set(modules):
        if name.startswith(("3", "beside", "triton_python_", "c_python_")):
            del sys.modules[name]


def source_of(directory: Path, files: dict[str, str], **config: Any) -> ModelSource:
    for name, text in files.items():
        path = directory / "3" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return ModelSource("m", 3, str(directory), from_json({"name": "m"} | config), {})


def test_the_class_comes_from_the_version_directory(tmp_path: Path) -> None:
    found = load_class(source_of(tmp_path, {"model.py": "class TritonPythonModel: pass"}))
    assert (found.__name__, found.__module__) == ("TritonPythonModel", "3.model")


def test_another_filename_may_be_configured(tmp_path: Path) -> None:
    source = source_of(tmp_path, {"other.py": "class TritonPythonModel: pass"}, default_model_filename="other.py")
    assert load_class(source).__module__ == "3.other"
    assert model_file(source) == str(tmp_path / "3" / "other.py")


def test_models_find_tritons_module_under_both_names(tmp_path: Path) -> None:
    text = """
        import c_python_backend_utils
        import triton_python_backend_utils as pb_utils

        class TritonPythonModel:
            modules = (pb_utils, c_python_backend_utils)
    """
    found: Any = load_class(source_of(tmp_path, {"model.py": text}))
    assert found.modules == (triton_python_backend_utils, triton_python_backend_utils)


def test_siblings_can_be_imported_by_name_and_relatively(tmp_path: Path) -> None:
    text = """
        from beside_by_name import VALUE as by_name
        from .beside import VALUE as relative

        class TritonPythonModel:
            values = (by_name, relative)
    """
    files = {"model.py": text, "beside.py": "VALUE = 1", "beside_by_name.py": "VALUE = 2"}
    found: Any = load_class(source_of(tmp_path, files))
    assert found.values == (2, 1)


def test_the_models_directories_come_first_on_the_path(tmp_path: Path) -> None:
    load_class(source_of(tmp_path, {"model.py": "class TritonPythonModel: pass"}))
    assert sys.path[:2] == [str(tmp_path / "3"), str(tmp_path)]


def test_folders_that_hold_nothing_but_us_come_last_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, shared = tmp_path / "ours", tmp_path / "shared"
    for folder in (ours / "shoal", shared / "shoal", shared / "numpy"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(ours), str(shared), str(tmp_path / "gone")])
    source = source_of(tmp_path / "model", {"model.py": "class TritonPythonModel: pass"})
    load_class(source)
    assert sys.path[2:] == [str(shared), str(tmp_path / "gone"), str(ours)]


def test_nothing_is_written_into_the_models_directory(tmp_path: Path) -> None:
    load_class(source_of(tmp_path, {"model.py": "import beside\nclass TritonPythonModel: pass", "beside.py": ""}))
    assert not list(tmp_path.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("def broken(:", "SyntaxError: invalid syntax (model.py, line 1)"),
        ("VALUE = 1", "AttributeError: module '3.model' has no attribute 'TritonPythonModel'"),
    ],
)
def test_files_that_are_no_model_fail_in_tritons_words(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InternalError) as failed:
        load_class(source_of(tmp_path, {"model.py": text}))
    assert failed.value.message == expected


def test_an_import_error_shows_the_users_line(tmp_path: Path) -> None:
    with pytest.raises(InternalError) as failed:
        load_class(source_of(tmp_path, {"model.py": "\nimport module_that_is_not_there"}))
    where = tmp_path / "3" / "model.py"
    assert failed.value.message == (
        f"ModuleNotFoundError: No module named 'module_that_is_not_there'\n\nAt:\n  {where}(2): <module>\n"
    )


def test_a_model_that_ends_the_interpreter_fails_to_load(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="SystemExit: 3"):
        load_class(source_of(tmp_path, {"model.py": "raise SystemExit(3)"}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"unable to find '.*3/model\.py' for model 'm'"):
        load_class(source_of(tmp_path, {}))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"must end with '\.py', got 'model\.txt'"):
        load_class(source_of(tmp_path, {"model.txt": ""}, default_model_filename="model.txt"))


def test_a_name_that_is_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"TritonPythonModel in '.*' is <class 'int'>, expected a class"):
        load_class(source_of(tmp_path, {"model.py": "TritonPythonModel = 1"}))
