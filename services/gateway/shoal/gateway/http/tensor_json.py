"""The `data` array of a JSON tensor <-> the tensor's bytes in wire form (little endian, row major).

Nesting of `data` carries no meaning: it is flattened in row-major order. Integers are cut to the width of their
datatype, as Triton does; numbers of FP32 are written as doubles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from shoal.core.datatypes import NUMPY, decode_bytes, encode_bytes
from shoal.core.errors import InternalError, InvalidArgument

_BINARY_ONLY: Final = ("FP16", "BF16")
_WRONG_COUNT = "Unable to parse 'data': Shape does not match true shape of 'data' field"
#: Datatype -> JSON types that are taken, how the library calls the type, numpy type that holds any such value.
_KINDS: dict[str, tuple[frozenset[type], str, npt.DTypeLike]] = {
    "BOOL": (frozenset({bool}), "non-boolean as boolean", np.bool_),
    **{
        name: (frozenset({int}), "non-unsigned-integer as unsigned-integer", np.uint64)
        for name in ("UINT8", "UINT16", "UINT32", "UINT64")
    },
    **{
        name: (frozenset({int}), "non-signed-integer as signed-integer", np.int64)
        for name in ("INT8", "INT16", "INT32", "INT64")
    },
    **{name: (frozenset({int, float}), "non-number as double", np.float64) for name in ("FP32", "FP64")},
}


def read_data(name: str, datatype: str, count: int, data: list[Any]) -> bytes:
    """Wire bytes of the `count` elements of input `name`; BYTES takes as many as there are (they are counted later).

    Strings may hold surrogate escapes for bytes that were not UTF-8. Raises InternalError for values of another type
    or another number of them, InvalidArgument for FP16 and BF16.
    """
    if datatype in _BINARY_ONLY:
        raise InvalidArgument(
            f"receiving {datatype} data via JSON is not supported. Please use the binary data format for input {name}"
        )
    flat, kinds = _flatten(data)
    if datatype == "BYTES":
        if kinds - {str}:
            raise InternalError("Unable to parse JSON bytes array: attempt to access JSON non-string as string")
        return encode_bytes(text.encode("utf-8", "surrogateescape") for text in flat)
    allowed, mismatch, widest = _KINDS[datatype]
    if kinds - allowed and any(type(value) not in allowed for value in flat[:count]):
        raise InternalError(f"Unable to parse 'data': attempt to access JSON {mismatch}")
    if len(flat) != count:
        raise InternalError(_WRONG_COUNT)
    if widest is np.uint64 and flat and min(flat) < 0:
        raise InternalError(f"Unable to parse 'data': attempt to access JSON {mismatch}")
    try:
        values = np.array(flat, dtype=widest)
    except OverflowError as error:
        raise InternalError(f"Unable to parse 'data': attempt to access JSON {mismatch}") from error
    with np.errstate(over="ignore"):
        return values.astype(NUMPY[datatype], copy=False).tobytes()


def write_data(datatype: str, data: memoryview | bytes) -> Any:
    """What orjson (with OPT_SERIALIZE_NUMPY) writes as the flat `data` array of an output.

    Non-finite numbers become bare NaN, Infinity and -Infinity; BYTES that are not UTF-8 go out as they are. May be a
    view of `data`. Raises InvalidArgument for FP16 and BF16, and for BYTES whose lengths do not fit.
    """
    if datatype in _BINARY_ONLY:
        raise InvalidArgument(
            f"sending {datatype} data via JSON is not supported. Please use the binary data format for output"
        )
    if datatype == "BYTES":
        return _texts(list(decode_bytes(data)))
    if datatype == "BOOL":
        return np.frombuffer(data, np.uint8) != 0
    values = np.frombuffer(data, NUMPY[datatype])
    if datatype not in ("FP32", "FP64"):
        return values
    doubles = values.astype(np.float64, copy=False)
    return doubles if np.isfinite(doubles).all() else orjson.Fragment(json.dumps(doubles.tolist()))


def _flatten(data: list[Any]) -> tuple[list[Any], set[type]]:
    """The leaves in row-major order, and their types."""
    while True:
        kinds = set(map(type, data))
        if list not in kinds:
            return data, kinds
        data = list(chain.from_iterable(data) if kinds == {list} else _leaves(data))


def _leaves(data: list[Any]) -> Iterator[Any]:
    """Leaves of a list whose branches differ in depth, without recursion."""
    branches = [iter(data)]
    while branches:
        for value in branches[-1]:
            if type(value) is list:
                branches.append(iter(value))
                break
            yield value
        else:
            branches.pop()


def _texts(elements: list[bytes]) -> Any:
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError:
        texts = [element.decode("utf-8", "surrogateescape") for element in elements]
        return orjson.Fragment(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogateescape"))
