from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.workers.python.dtypes import (
    TRITON_NUMBER,
    datatype_of,
    decode_elements,
    deserialize_bytes_tensor,
    encode_elements,
    numpy_to_triton_type,
    serialize_byte_tensor,
    triton_string_to_numpy,
    triton_to_numpy_type,
)
from shoal.workers.python.error import TritonModelException

NUMPY_BY_NUMBER: list[tuple[int, type[np.generic]]] = [
    (1, np.bool_),
    (2, np.uint8),
    (3, np.uint16),
    (4, np.uint32),
    (5, np.uint64),
    (6, np.int8),
    (7, np.int16),
    (8, np.int32),
    (9, np.int64),
    (10, np.float16),
    (11, np.float32),
    (12, np.float64),
    (13, np.object_),
]


@pytest.mark.parametrize(("number", "scalar"), NUMPY_BY_NUMBER)
def test_numbers_and_numpy_types_map_both_ways(number: int, scalar: type[np.generic]) -> None:
    assert triton_to_numpy_type(number) is scalar
    assert numpy_to_triton_type(scalar) == number
    assert numpy_to_triton_type(np.dtype(scalar)) == number


def test_bf16_has_a_number_and_no_numpy_type() -> None:
    assert triton_to_numpy_type(TRITON_NUMBER["BF16"]) is None


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [("longlong", "INT64"), ("ulonglong", "UINT64"), (">f4", "FP32"), ("S7", "BYTES"), ("bool", "BOOL")],
)
def test_datatype_of_dtypes_that_have_several_spellings(dtype: str, datatype: str) -> None:
    assert datatype_of(np.dtype(dtype)) == datatype


@pytest.mark.parametrize("dtype", ["complex64", "U4", "datetime64[s]", "longdouble"])
def test_dtypes_that_the_protocol_does_not_have(dtype: str) -> None:
    assert datatype_of(np.dtype(dtype)) is None
    assert numpy_to_triton_type(np.dtype(dtype)) is None


def test_configuration_types_have_numpy_types() -> None:
    assert triton_string_to_numpy("TYPE_FP32") is np.float32
    assert triton_string_to_numpy("TYPE_STRING") is np.object_


@pytest.mark.parametrize("text", ["TYPE_BF16", "FP32", "TYPE_NOTHING"])
def test_configuration_types_without_numpy_type_are_refused_by_name(text: str) -> None:
    with pytest.raises(TritonModelException, match=f"'{text}' has no numpy type"):
        triton_string_to_numpy(text)


@given(st.lists(st.binary(max_size=20)))
def test_bytes_elements_survive_the_wire(elements: list[bytes]) -> None:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    assert decode_elements(encode_elements(array)).tolist() == elements


def test_elements_that_are_not_bytes_become_their_text() -> None:
    array: np.ndarray[Any, np.dtype[np.object_]] = np.array([["é", b"x"], [1, 2.5]], dtype=object)
    assert decode_elements(encode_elements(array)).tolist() == ["é".encode(), b"x", b"1", b"2.5"]


def test_elements_leave_in_row_major_order_whatever_their_layout() -> None:
    array = np.asfortranarray(np.array([[b"a", b"b"], [b"c", b"d"]], dtype=object))
    assert decode_elements(encode_elements(array)).tolist() == [b"a", b"b", b"c", b"d"]


def test_serialized_tensor_is_a_uint8_array_that_deserializes() -> None:
    serialized = serialize_byte_tensor(np.array([b"ab", b""]))
    assert serialized.dtype == np.uint8
    assert serialized.tobytes() == b"\x02\x00\x00\x00ab\x00\x00\x00\x00"
    for encoded in (serialized, serialized.tobytes(), memoryview(serialized.tobytes())):
        assert deserialize_bytes_tensor(encoded).tolist() == [b"ab", b""]


def test_serializing_numbers_is_refused() -> None:
    with pytest.raises(TritonModelException, match="cannot serialize an array of int32"):
        serialize_byte_tensor(np.zeros(1, np.int32))
