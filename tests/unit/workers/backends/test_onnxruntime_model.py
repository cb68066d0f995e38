from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from shoal.core.errors import InternalError, InvalidArgument, Unavailable
from shoal.core.model_config import from_json
from shoal.workers.backend import ModelSource
from shoal.workers.backends.onnxruntime_model import NodeArg, model_path, model_signature, runtime_error
from shoal.workers.signature import TensorSignature


class Node(NamedTuple):
    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Described(NamedTuple):
    """What a session tells of its model."""

    inputs: Sequence[NodeArg] = ()
    outputs: Sequence[NodeArg] = ()
    initializers: Sequence[NodeArg] = ()

    def get_inputs(self) -> Sequence[NodeArg]:
        return self.inputs

    def get_outputs(self) -> Sequence[NodeArg]:
        return self.outputs

    def get_overridable_initializers(self) -> Sequence[NodeArg]:
        return self.initializers


def source(directory: Path, filename: str = "") -> ModelSource:
    return ModelSource("m", 3, str(directory), from_json({"default_model_filename": filename}), {})


def test_the_file_is_in_the_versions_directory(tmp_path: Path) -> None:
    file = tmp_path / "3" / "model.onnx"
    file.parent.mkdir()
    file.touch()
    assert model_path(source(tmp_path)) == file


def test_the_file_may_have_another_name(tmp_path: Path) -> None:
    file = tmp_path / "3" / "other.onnx"
    file.parent.mkdir()
    file.touch()
    assert model_path(source(tmp_path, "other.onnx")) == file


def test_a_directory_of_the_files_name_holds_the_file(tmp_path: Path) -> None:
    file = tmp_path / "3" / "model.onnx" / "model.onnx"
    file.parent.mkdir(parents=True)
    file.touch()
    assert model_path(source(tmp_path)) == file


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as missing:
        model_path(source(tmp_path))
    assert missing.value.message == f"unable to find '{tmp_path}/3/model.onnx' for model instance 'm'"


def test_symbols_are_variable_dimensions() -> None:
    session = Described(
        [Node("A", "tensor(float)", ("batch", None, 3))],
        [Node("X", "tensor(string)", ())],
        [Node("O", "tensor(bfloat16)", (2,))],
    )
    assert model_signature("m", session) == (
        (TensorSignature("A", "FP32", (-1, -1, 3)),),
        (TensorSignature("X", "BYTES", ()),),
        (TensorSignature("O", "BF16", (2,)),),
    )


def test_what_requests_cannot_carry_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"unsupported datatype 'seq\(tensor\(float\)\)' for output 'X'"):
        model_signature("m", Described((), [Node("X", "seq(tensor(float))", ())]))


def test_errors_of_the_runtime_keep_their_number_and_text() -> None:
    error = runtime_error(RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions\nfor A"))
    assert isinstance(error, InternalError)
    assert error.message == "onnx runtime error 2: Got invalid dimensions\nfor A"


def test_errors_without_a_number_are_failures() -> None:
    assert runtime_error(ValueError("odd")).message == "onnx runtime error 1: odd"


def test_our_own_errors_pass() -> None:
    own = InvalidArgument("no")
    assert runtime_error(own) is own
