"""Typed tensor contents (`InferTensorContents`) in wire form."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from shoal.core.datatypes import BYTE_SIZE, NUMPY, encode_bytes
from shoal.core.errors import InvalidArgument


class _Field(NamedTuple):
    """A field of the message: the datatypes it can hold (the last one names it in errors), and its own dtype."""

    name: str
    datatypes: tuple[str, ...]
    dtype: str


_FIELDS = (
    _Field("bool_contents", ("BOOL",), "?"),
    _Field("int_contents", ("INT8", "INT16", "INT32"), "<i4"),
    _Field("int64_contents", ("INT64",), "<i8"),
    _Field("uint_contents", ("UINT8", "UINT16", "UINT32"), "<u4"),
    _Field("uint64_contents", ("UINT64",), "<u8"),
    _Field("fp32_contents", ("FP32",), "<f4"),
    _Field("fp64_contents", ("FP64",), "<f8"),
    _Field("bytes_contents", ("BYTES",), ""),
)


# `contents` is a generated protobuf message, for which there are no types.
def typed_contents(contents: Any, datatype: str, tensor: str, model: str) -> bytes:
    """The bytes of a tensor that came as typed contents; integers that do not fit are truncated, as Triton does.

    Empty when no field is filled. Raises InvalidArgument when a field of another datatype is filled, or two are.
    """
    data: bytes | None = None
    for field in _FIELDS:
        values = getattr(contents, field.name)
        if not values:
            continue
        prefix = f"unexpected explicit tensor data for input tensor '{tensor}' for model '{model}' of type"
        if data is not None:
            raise InvalidArgument(f"{prefix} '{field.datatypes[-1]}', binary data was already supplied.")
        if datatype not in field.datatypes:
            known = datatype if datatype in BYTE_SIZE else "<invalid>"
            raise InvalidArgument(f"{prefix} '{field.datatypes[-1]}', expected datatype '{known}'")
        data = _encode(field, values, datatype)
    return data or b""


def _encode(field: _Field, values: Any, datatype: str) -> bytes:
    if datatype == "BYTES":
        return encode_bytes(values)
    return np.fromiter(values, field.dtype, len(values)).astype(NUMPY[datatype]).tobytes()
