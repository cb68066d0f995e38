"""Typed contents become the tensor's wire form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shoal.core.errors import InvalidArgument
from shoal.gateway.grpc.contents import typed_contents
from shoal.gateway.grpc.schema import service_pb2


def contents(**fields: list[Any]) -> Any:
    return service_pb2.InferTensorContents(**fields)


@pytest.mark.parametrize(
    ("datatype", "field", "values", "dtype"),
    [
        ("BOOL", "bool_contents", [True, False], "?"),
        ("INT8", "int_contents", [-128, 127], "i1"),
        ("INT16", "int_contents", [-32768, 32767], "<i2"),
        ("INT32", "int_contents", [-(2**31), 2**31 - 1], "<i4"),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1], "<i8"),
        ("UINT8", "uint_contents", [0, 255], "u1"),
        ("UINT16", "uint_contents", [0, 65535], "<u2"),
        ("UINT32", "uint_contents", [0, 2**32 - 1], "<u4"),
        ("UINT64", "uint64_contents", [0, 2**64 - 1], "<u8"),
        ("FP32", "fp32_contents", [0.5, float("inf")], "<f4"),
        ("FP64", "fp64_contents", [0.1, -1e300], "<f8"),
    ],
)
def test_values_are_encoded_by_datatype(datatype: str, field: str, values: list[Any], dtype: str) -> None:
    data = typed_contents(contents(**{field: values}), datatype, "I", "m")
    assert data == np.array(values, dtype).tobytes()


def test_strings_get_their_lengths() -> None:
    data = typed_contents(contents(bytes_contents=[b"", b"ab"]), "BYTES", "I", "m")
    assert data == b"\x00\x00\x00\x00\x02\x00\x00\x00ab"


def test_integers_that_do_not_fit_are_truncated() -> None:
    data = typed_contents(contents(int_contents=[300, -200]), "INT8", "I", "m")
    assert np.frombuffer(data, "i1").tolist() == [44, 56]


def test_no_values_are_an_empty_tensor() -> None:
    assert typed_contents(contents(), "FP32", "I", "m") == b""


@pytest.mark.parametrize(
    ("datatype", "fields", "text"),
    [
        ("INT32", {"fp32_contents": [1.0]}, "of type 'FP32', expected datatype 'INT32'"),
        ("FP16", {"fp32_contents": [1.0]}, "of type 'FP32', expected datatype 'FP16'"),
        ("FP32", {"int_contents": [1]}, "of type 'INT32', expected datatype 'FP32'"),
        ("INT31", {"int_contents": [1]}, "of type 'INT32', expected datatype '<invalid>'"),
        ("INT32", {"int_contents": [1], "int64_contents": [1]}, "of type 'INT64', binary data was already supplied."),
    ],
)
def test_another_datatypes_field_is_refused(datatype: str, fields: dict[str, list[Any]], text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        typed_contents(contents(**fields), datatype, "I", "m")
    assert caught.value.message == f"unexpected explicit tensor data for input tensor 'I' for model 'm' {text}"
