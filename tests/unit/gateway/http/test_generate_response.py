from __future__ import annotations

import numpy as np
import pytest

from shoal.core.datatypes import encode_bytes
from shoal.core.errors import InvalidArgument
from shoal.core.tensors import Tensor
from shoal.gateway.http.generate_response import render_generated
from shoal.gateway.request import InferAnswer


def answer(*outputs: Tensor, request_id: str = "") -> InferAnswer:
    return InferAnswer("m", 2, request_id, outputs, {"done": False})


def test_the_document_is_flat_and_sorted() -> None:
    text = Tensor("text", "BYTES", (1, 1), encode_bytes([b"said x"]))
    count = Tensor("Count", "INT32", (2,), np.array([0, 1], "<i4").tobytes())
    assert render_generated(answer(text, count, request_id="r")) == (
        b'{"Count":[0,1],"done":false,"id":"r","model_name":"m","model_version":"2","text":"said x"}'
    )


def test_an_absent_id_is_left_out() -> None:
    assert render_generated(answer()) == b'{"done":false,"model_name":"m","model_version":"2"}'


@pytest.mark.parametrize(
    ("datatype", "data", "text"),
    [
        ("FP32", np.array([np.nan], "<f4").tobytes(), b"NaN"),
        ("BOOL", b"\1", b"true"),
        ("INT64", np.array([-3], "<i8").tobytes(), b"-3"),
        ("BYTES", encode_bytes([b"[\xff]"]), b'"[\xff]"'),
    ],
)
def test_a_tensor_of_one_element_is_that_element(datatype: str, data: bytes, text: bytes) -> None:
    assert b'"Y":' + text + b"," in render_generated(answer(Tensor("Y", datatype, (1,), data)))


def test_an_empty_tensor_is_an_empty_array() -> None:
    assert b'"Y":[],' in render_generated(answer(Tensor("Y", "INT32", (0,), b"")))


def test_half_floats_have_no_json_form() -> None:
    with pytest.raises(InvalidArgument, match="sending FP16 data via JSON is not supported"):
        render_generated(answer(Tensor("Y", "FP16", (1,), b"\0\0")))
