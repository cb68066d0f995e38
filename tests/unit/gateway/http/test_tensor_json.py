from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.datatypes import NUMPY, encode_bytes
from shoal.core.errors import InternalError, InvalidArgument
from shoal.gateway.http import json_text
from shoal.gateway.http.tensor_json import read_data, write_data

WRONG_COUNT = "Unable to parse 'data': Shape does not match true shape of 'data' field"


def written(datatype: str, data: bytes) -> Any:
    return json_text.parse(orjson.dumps(write_data(datatype, data), option=orjson.OPT_SERIALIZE_NUMPY))


def integers(datatype: str) -> st.SearchStrategy[list[int]]:
    limits = np.iinfo(np.dtype(NUMPY[datatype]))
    return st.lists(st.integers(int(limits.min), int(limits.max)))


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"])
@given(data=st.data())
def test_integers_survive_the_way_in_and_out(datatype: str, data: st.DataObject) -> None:
    values = data.draw(integers(datatype))
    wire = read_data("X", datatype, len(values), list(values))
    assert wire == np.array(values, NUMPY[datatype]).tobytes()
    assert written(datatype, wire) == values


@pytest.mark.parametrize(("datatype", "width"), [("FP32", 32), ("FP64", 64)])
@given(data=st.data())
def test_floats_survive_the_way_in_and_out(datatype: str, width: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(width=width)))  # type: ignore[arg-type]  # 32 or 64
    wire = read_data("X", datatype, len(values), list(values))
    np.testing.assert_array_equal(np.frombuffer(wire, NUMPY[datatype]), np.array(values, NUMPY[datatype]))
    np.testing.assert_array_equal(np.array(written(datatype, wire), "f8"), np.array(values, "f8"))


@given(st.lists(st.booleans()))
def test_bools_survive_the_way_in_and_out(values: list[bool]) -> None:
    assert written("BOOL", read_data("X", "BOOL", len(values), list(values))) == values


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_texts_survive_the_way_in_and_out(values: list[str]) -> None:
    assert written("BYTES", read_data("X", "BYTES", len(values), list(values))) == values


@given(st.lists(st.binary()))
def test_texts_that_are_not_utf8_go_out_as_they_are(values: list[bytes]) -> None:
    texts = written("BYTES", encode_bytes(values))
    assert read_data("X", "BYTES", len(texts), texts) == encode_bytes(values)


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1]], [[2, 3], 4]], [1, [2, [3, [4]]], []]])
def test_nesting_is_flattened_in_row_major_order(data: list[Any]) -> None:
    assert read_data("X", "INT8", 4, data) == bytes([1, 2, 3, 4])


def test_deep_nesting_beside_many_values_is_flattened_once() -> None:
    deep: list[Any] = [7]
    for _ in range(900):
        deep = [deep]
    assert read_data("X", "INT8", 100_001, [1] * 100_000 + [deep])[-1] == 7


@pytest.mark.parametrize(
    ("datatype", "value", "expected"), [("INT16", 40000, -25536), ("UINT8", 256, 0), ("INT32", 2147483648, -(2**31))]
)
def test_integers_are_cut_to_the_width_of_their_datatype(datatype: str, value: int, expected: int) -> None:
    assert np.frombuffer(read_data("X", datatype, 1, [value]), NUMPY[datatype]).tolist() == [expected]


def test_a_float_too_large_for_its_datatype_becomes_infinite() -> None:
    assert np.frombuffer(read_data("X", "FP32", 1, [1e300]), "<f4").tolist() == [math.inf]


def test_integers_are_floats_too() -> None:
    assert np.frombuffer(read_data("X", "FP32", 2, [1, -2]), "<f4").tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    ("datatype", "value", "mismatch"),
    [
        ("INT32", "1", "non-signed-integer as signed-integer"),
        ("INT32", 1.5, "non-signed-integer as signed-integer"),
        ("INT32", True, "non-signed-integer as signed-integer"),
        ("INT64", 2**63, "non-signed-integer as signed-integer"),
        ("UINT64", -1, "non-unsigned-integer as unsigned-integer"),
        ("UINT8", None, "non-unsigned-integer as unsigned-integer"),
        ("FP32", "nan", "non-number as double"),
        ("FP32", {}, "non-number as double"),
        ("BOOL", 1, "non-boolean as boolean"),
    ],
)
def test_values_of_another_type_are_refused(datatype: str, value: Any, mismatch: str) -> None:
    with pytest.raises(InternalError) as caught:
        read_data("X", datatype, 1, [value])
    assert caught.value.message == f"Unable to parse 'data': attempt to access JSON {mismatch}"


def test_texts_must_be_strings() -> None:
    with pytest.raises(InternalError) as caught:
        read_data("X", "BYTES", 1, [None])
    assert caught.value.message == ("Unable to parse JSON bytes array: attempt to access JSON non-string as string")


@pytest.mark.parametrize("data", [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, "x"]])
def test_another_number_of_values_is_refused(data: list[Any]) -> None:
    with pytest.raises(InternalError) as caught:
        read_data("X", "INT32", 4, data)
    assert caught.value.message == WRONG_COUNT


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_have_no_json_form(datatype: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_data("X", datatype, 1, [0.5])
    assert caught.value.message == (
        f"receiving {datatype} data via JSON is not supported. Please use the binary data format for input X"
    )
    with pytest.raises(InvalidArgument) as caught:
        write_data(datatype, b"\0\0")
    assert caught.value.message == (
        f"sending {datatype} data via JSON is not supported. Please use the binary data format for output"
    )


@pytest.mark.parametrize(
    ("datatype", "values", "text"),
    [
        ("FP32", [0.1], b"[0.10000000149011612]"),
        ("FP32", [math.nan, math.inf, -math.inf], b"[NaN, Infinity, -Infinity]"),
        ("FP64", [0.1, 5e-324], b"[0.1,5e-324]"),
        ("BOOL", [True, False], b"[true,false]"),
        ("INT8", [], b"[]"),
    ],
)
def test_numbers_are_written_as_triton_writes_them(datatype: str, values: list[Any], text: bytes) -> None:
    dtype: npt.DTypeLike = NUMPY[datatype]
    data = np.array(values, dtype).tobytes()
    assert orjson.dumps(write_data(datatype, data), option=orjson.OPT_SERIALIZE_NUMPY) == text


def test_a_nul_in_a_text_is_escaped() -> None:
    assert orjson.dumps(write_data("BYTES", encode_bytes([b"a\0b"]))) == b'["a\\u0000b"]'
