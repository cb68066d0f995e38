"""Where an ONNX model is, and what its tensors and errors are in Shoal's words. Pure: no framework is imported here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from shoal.core.errors import InternalError, InvalidArgument, ShoalError, Unavailable
from shoal.workers.backend import ModelSource
from shoal.workers.signature import ModelSignature, TensorSignature

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
    "tensor(bfloat16)": "BF16",
}

_ERROR_TEXT = re.compile(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", re.DOTALL)
_DEFAULT_FILENAME = "model.onnx"


class NodeArg(Protocol):
    """What a session tells of one input or output."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[Any]: ...


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that describes the model."""

    def get_inputs(self) -> Iterable[NodeArg]: ...
    def get_outputs(self) -> Iterable[NodeArg]: ...
    def get_overridable_initializers(self) -> Iterable[NodeArg]: ...


def model_path(source: ModelSource) -> Path:
    """The model's file; a directory in its place holds `model.onnx` and external weights. Raises Unavailable when
    there is none."""
    name = source.config.default_model_filename or _DEFAULT_FILENAME
    path = Path(source.directory) / str(source.version) / name
    if path.is_dir():
        path /= _DEFAULT_FILENAME
    if not path.is_file():
        raise Unavailable(f"unable to find '{path}' for model instance '{source.name}'")
    return path


def model_signature(model: str, session: Session) -> ModelSignature:
    """Raises InvalidArgument for a tensor of a type that requests cannot carry."""
    return ModelSignature(
        inputs=tuple(_tensor(model, "input", node) for node in session.get_inputs()),
        outputs=tuple(_tensor(model, "output", node) for node in session.get_outputs()),
        optional_inputs=tuple(_tensor(model, "input", node) for node in session.get_overridable_initializers()),
    )


def _tensor(model: str, side: str, node: NodeArg) -> TensorSignature:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise InvalidArgument(f"unsupported datatype '{node.type}' for {side} '{node.name}' for model '{model}'")
    # Named and unnamed symbols are str and None.
    return TensorSignature(node.name, datatype, tuple(d if isinstance(d, int) else -1 for d in node.shape))


def runtime_error(error: Exception) -> ShoalError:
    """An exception of the runtime in Triton's words, `onnx runtime error <code>: <text>`."""
    if isinstance(error, ShoalError):
        return error
    found = _ERROR_TEXT.match(str(error))
    code, text = found.groups() if found else ("1", str(error))
    return InternalError(f"onnx runtime error {code}: {text}")
