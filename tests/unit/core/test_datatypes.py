from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.datatypes import (
    BYTE_SIZE,
    NUMPY,
    decode_bytes,
    element_count,
    encode_bytes,
    from_config,
    shape_text,
    to_config,
)
from shoal.core.errors import InvalidArgument


@pytest.mark.parametrize("datatype", BYTE_SIZE)
def test_sizes_are_those_of_the_numpy_dtypes_and_bytes_elements_have_none(datatype: str) -> None:
    size = BYTE_SIZE[datatype]
    assert size == (0 if datatype == "BYTES" else np.dtype(NUMPY[datatype]).itemsize)


@pytest.mark.parametrize("datatype", BYTE_SIZE)
def test_elements_on_the_wire_are_little_endian(datatype: str) -> None:
    assert np.dtype(NUMPY[datatype]).byteorder != ">"


@pytest.mark.parametrize("datatype", BYTE_SIZE)
def test_a_configurations_name_of_a_datatype_goes_both_ways(datatype: str) -> None:
    assert from_config(to_config(datatype)) == datatype


def test_bytes_are_called_string_in_a_configuration() -> None:
    assert (from_config("TYPE_STRING"), to_config("BYTES")) == ("BYTES", "TYPE_STRING")
    assert (from_config("TYPE_FP32"), to_config("FP32")) == ("FP32", "TYPE_FP32")


@pytest.mark.parametrize(("shape", "count"), [((), 1), ((3,), 3), ((2, 3, 4), 24), ((2, 0), 0)])
def test_element_count(shape: tuple[int, ...], count: int) -> None:
    assert element_count(shape) == count


def test_shapes_print_without_spaces() -> None:
    assert (shape_text(()), shape_text((1, 16)), shape_text([-1, 3])) == ("[]", "[1,16]", "[-1,3]")


def test_bytes_elements_carry_their_length_in_four_little_endian_bytes() -> None:
    assert encode_bytes([b"ab", b"", b"c"]) == b"\2\0\0\0ab" + b"\0\0\0\0" + b"\1\0\0\0c"


@given(st.lists(st.binary(max_size=40)))
def test_bytes_elements_survive_the_wire(elements: list[bytes]) -> None:
    assert list(decode_bytes(memoryview(encode_bytes(elements)))) == elements


def test_a_length_that_is_cut_off_is_refused() -> None:
    elements = decode_bytes(encode_bytes([b"ab"]) + b"\1\0")
    assert next(elements) == b"ab"
    with pytest.raises(InvalidArgument, match="incomplete string length indicator: 2 bytes where 4 are expected"):
        next(elements)


def test_an_element_that_is_cut_off_is_refused() -> None:
    text = "incomplete string data: expecting string of length 5 but only 2 bytes available"
    with pytest.raises(InvalidArgument, match=text):
        list(decode_bytes(b"\5\0\0\0ab"))
