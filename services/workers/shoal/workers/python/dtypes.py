"""Datatypes between Triton's numbers, the protocol's names and numpy; BYTES tensors between objects and wire form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.core.datatypes import NUMPY, decode_bytes, encode_bytes, from_config
from shoal.workers.python.error import TritonModelException

#: The numbers of `TRITONSERVER_DataType`, which models compare and pass around.
TRITON_NUMBER: dict[str, int] = {
    "BOOL": 1,
    "UINT8": 2,
    "UINT16": 3,
    "UINT32": 4,
    "UINT64": 5,
    "INT8": 6,
    "INT16": 7,
    "INT32": 8,
    "INT64": 9,
    "FP16": 10,
    "FP32": 11,
    "FP64": 12,
    "BYTES": 13,
    "BF16": 14,
}

#: The scalar type of each datatype that numpy has; there is none for BF16.
_SCALAR_TYPE: dict[str, type[np.generic]] = {
    name: np.dtype(dtype).type for name, dtype in NUMPY.items() if name != "BF16"
}
_BY_NUMBER = {TRITON_NUMBER[name]: scalar for name, scalar in _SCALAR_TYPE.items()}
_BY_SIZE = {(np.dtype(scalar).kind, np.dtype(scalar).itemsize): name for name, scalar in _SCALAR_TYPE.items()}


def _datatype(dtype: np.dtype[Any]) -> str | None:
    return "BYTES" if dtype.kind in "OS" else _BY_SIZE.get((dtype.kind, dtype.itemsize))


#: numpy's type number -> datatype. By number, because C's `long` and `long long` are two types of one size.
_BY_NUMPY_NUMBER: dict[int, str] = {
    np.dtype(char).num: name for char in "?bBhHiIlLqQefdOS" if (name := _datatype(np.dtype(char)))
}


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """The protocol's name of a numpy dtype, in either byte order; None where the protocol has no such datatype."""
    return _BY_NUMPY_NUMBER.get(dtype.num)


def triton_to_numpy_type(data_type: int) -> type[np.generic] | None:
    """The numpy type of a `TRITONSERVER_DataType` number; None for one that numpy does not have, like BF16."""
    return _BY_NUMBER.get(data_type)


def numpy_to_triton_type(data_type: npt.DTypeLike) -> int | None:
    """The `TRITONSERVER_DataType` number of a numpy dtype or scalar type; None where there is none."""
    name = datatype_of(np.dtype(data_type))
    return None if name is None else TRITON_NUMBER[name]


def triton_string_to_numpy(triton_type_string: str) -> type[np.generic]:
    """The numpy type of a configuration's data type, as in `TYPE_FP32`."""
    scalar = _SCALAR_TYPE.get(from_config(triton_type_string))
    if scalar is None or not triton_type_string.startswith("TYPE_"):
        raise TritonModelException(
            f"'{triton_type_string}' has no numpy type; expected one of TYPE_BOOL, TYPE_[U]INT8 to TYPE_[U]INT64, "
            "TYPE_FP16, TYPE_FP32, TYPE_FP64 and TYPE_STRING (TYPE_BF16 is reached by DLPack alone)"
        )
    return scalar


def encode_elements(array: npt.NDArray[Any]) -> bytes:
    """An array of objects or fixed-size bytes in wire form, row major. What is not bytes is encoded as its text."""
    return encode_bytes(map(_as_bytes, array.ravel().tolist()))


def decode_elements(data: memoryview | bytes) -> npt.NDArray[Any]:
    """A BYTES tensor's elements as a new object array of shape `[n]` of `bytes`."""
    return _object_array(decode_bytes(data))


def serialize_byte_tensor(input_tensor: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """An array of objects or fixed-size bytes in wire form, as a new uint8 array of shape `[nbytes]`."""
    if input_tensor.dtype.kind not in "OS":
        raise TritonModelException(
            f"cannot serialize an array of {input_tensor.dtype} as a byte tensor; expected numpy.object_ or "
            "numpy.bytes_"
        )
    return np.frombuffer(bytearray(encode_elements(input_tensor)), dtype=np.uint8)


def deserialize_bytes_tensor(encoded_tensor: npt.NDArray[Any] | memoryview | bytes) -> npt.NDArray[Any]:
    """The elements of a BYTES tensor in wire form, as a new object array of shape `[n]` of `bytes`."""
    data = encoded_tensor.tobytes() if isinstance(encoded_tensor, np.ndarray) else encoded_tensor
    return decode_elements(data)


def _as_bytes(element: object) -> bytes:
    return element if isinstance(element, bytes) else str(element).encode()


def _object_array(elements: Iterable[bytes]) -> npt.NDArray[Any]:
    found = list(elements)
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array
