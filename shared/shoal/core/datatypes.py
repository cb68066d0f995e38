"""The v2 protocol's datatypes: names, sizes, numpy dtypes and how configuration spells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from shoal.core.errors import InvalidArgument

#: Bytes of one element; 0 for BYTES, whose elements have a length of their own.
BYTE_SIZE: dict[str, int] = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "FP32": 4,
    "FP64": 8,
    "BYTES": 0,
    "BF16": 2,
}

#: The numpy dtype of an element on the wire (little endian). BF16 has none in numpy: its bits are uint16.
NUMPY: dict[str, npt.DTypeLike] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
    "BF16": np.dtype("<u2"),
}


def from_config(data_type: str) -> str:
    """`TYPE_STRING` -> `BYTES`, `TYPE_X` -> `X`."""
    name = data_type.removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def to_config(datatype: str) -> str:
    """`BYTES` -> `TYPE_STRING`, `X` -> `TYPE_X`."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def element_count(shape: Sequence[int]) -> int:
    """Elements of a tensor of this shape; 1 for a scalar (`[]`)."""
    return prod(shape)


def encode_bytes(elements: Iterable[bytes]) -> bytes:
    """BYTES elements in wire form: for each a uint32 little-endian length, then the bytes."""
    parts: list[bytes] = []
    for element in elements:
        parts.append(len(element).to_bytes(4, "little"))
        parts.append(element)
    return b"".join(parts)


def decode_bytes(data: memoryview | bytes) -> Iterator[bytes]:
    """The elements of a BYTES tensor in wire form.

    Raises InvalidArgument when a length or an element is cut off; elements before it have been yielded.
    """
    view = memoryview(data)
    offset, end = 0, len(view)
    while offset < end:
        if end - offset < 4:
            raise InvalidArgument(f"incomplete string length indicator: {end - offset} bytes where 4 are expected")
        length = int.from_bytes(view[offset : offset + 4], "little")
        offset += 4
        if end - offset < length:
            raise InvalidArgument(
                f"incomplete string data: expecting string of length {length} but only {end - offset} bytes available"
            )
        yield bytes(view[offset : offset + length])
        offset += length


def shape_text(shape: Iterable[int]) -> str:
    """A shape as Triton prints it: `[1,16]`, without spaces."""
    return "[" + ",".join(map(str, shape)) + "]"
