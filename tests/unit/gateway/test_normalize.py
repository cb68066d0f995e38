from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway_models import add_sub, call, int32, one_input, served, tensor_config
from shoal.core.datatypes import encode_bytes
from shoal.core.errors import InvalidArgument
from shoal.core.tensors import Tensor
from shoal.gateway.normalize import Checked, check
from shoal.gateway.request import InferCall

PREFIX = "[request id: <id_unknown>] "
NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)
LEFT, RIGHT = int32("LEFT", [1, 2, 3, 4]), int32("RIGHT", [10, 20, 30, 40])


def fp32(name: str, *shape: int) -> Tensor:
    return Tensor(name, "FP32", shape, np.zeros([max(0, dim) for dim in shape], "<f4").tobytes())


def refusal(request: InferCall, config: dict[str, Any]) -> str:
    with pytest.raises(InvalidArgument) as caught:
        check(request, served(config))
    return caught.value.message


def test_a_call_that_fits_is_checked() -> None:
    request, model = call(LEFT, RIGHT, outputs=("DIFF", "SUM", "DIFF")), served(add_sub())
    assert check(request, model) == Checked(request, model, 0, 0, ("DIFF", "SUM"), None)


def test_no_outputs_means_every_output() -> None:
    assert check(call(LEFT, RIGHT), served(add_sub())).outputs == ()


def test_an_input_given_twice() -> None:
    assert refusal(call(LEFT, LEFT), add_sub()) == PREFIX + "input 'LEFT' already exists in request"


def test_the_request_id_stands_before_the_text() -> None:
    assert refusal(call(LEFT, LEFT, request_id="r7"), add_sub()).startswith("[request id: r7] input 'LEFT'")


def test_an_unknown_output_is_told_before_anything_about_inputs() -> None:
    text = refusal(call(outputs=("PRODUCT",)), add_sub())
    assert text == "unexpected inference output 'PRODUCT' for model 'addsub'"


@pytest.mark.parametrize(
    ("inputs", "got", "missing"),
    [
        ((), "[]", "['LEFT','RIGHT']"),
        ((LEFT,), "['LEFT']", "['RIGHT']"),
        ((LEFT, RIGHT, int32("THIRD", [1])), "['THIRD','RIGHT','LEFT']", "]"),
    ],
)
def test_a_wrong_number_of_inputs(inputs: tuple[Tensor, ...], got: str, missing: str) -> None:
    assert refusal(call(*inputs), add_sub()) == PREFIX + (
        f"expected 2 inputs but got {len(inputs)} inputs for model 'addsub'. Got input(s) {got}, but missing required "
        f"input(s) {missing}. Please provide all required input(s)."
    )


def test_a_wrong_number_of_inputs_where_some_are_optional() -> None:
    config = add_sub()
    config["input"][1]["optional"] = True
    assert refusal(call(), config).startswith(
        PREFIX + "expected number of inputs between 1 and 2 but got 0 inputs for model 'addsub'. Got input(s) []"
    )


def test_an_optional_input_may_be_left_out() -> None:
    config = add_sub()
    config["input"][1]["optional"] = True
    assert check(call(LEFT), served(config)).fault is None


def test_an_unknown_input_in_the_right_number() -> None:
    text = refusal(call(LEFT, int32("WRIGHT", [1, 2, 3, 4])), add_sub())
    assert text == "unexpected inference input 'WRIGHT' for model 'addsub'"


def test_a_batching_model_needs_a_shape() -> None:
    request = call(Tensor("X", "FP32", (), b"\0\0\0\0"))
    assert refusal(request, one_input("TYPE_FP32", [1], 8)) == (
        PREFIX + "input 'X' has no shape but model requires batch dimension for 'm'"
    )


def test_batch_sizes_must_agree_and_the_first_input_is_blamed() -> None:
    config = one_input("TYPE_FP32", [3], 8)
    config["input"].append(tensor_config("W", "TYPE_FP32", [3]))
    text = refusal(call(fp32("X", 2, 3), fp32("W", 1, 3)), config)
    assert text == PREFIX + "input 'X' batch size does not match other inputs for 'm'"


def test_the_batch_must_not_be_larger_than_the_model_s() -> None:
    text = refusal(call(fp32("X", 9, 1)), one_input("TYPE_FP32", [1], 8))
    assert text == PREFIX + "inference request batch-size must be <= 8 for 'm'"


def test_the_batch_size_is_the_first_dimension() -> None:
    assert check(call(fp32("X", 5, 2)), served(one_input("TYPE_FP32", [-1], 8))).batch_size == 5


def test_a_shape_tensor_has_no_batch_dimension() -> None:
    config = one_input("TYPE_FP32", [2], 8)
    config["input"].append(tensor_config("SHAPE", "TYPE_INT32", [2], is_shape_tensor=True))
    assert check(call(fp32("X", 3, 2), int32("SHAPE", [1, 1])), served(config)).batch_size == 3


@pytest.mark.parametrize(("datatype", "shown"), [("INT64", "INT64"), ("INT31", "<invalid>"), ("", "<invalid>")])
def test_a_wrong_datatype(datatype: str, shown: str) -> None:
    text = refusal(call(LEFT._replace(datatype=datatype), RIGHT), add_sub())
    assert text == PREFIX + f"inference input 'LEFT' data-type is '{shown}', but model 'addsub' expects 'INT32'"


def test_a_dimension_of_minus_one() -> None:
    text = refusal(call(fp32("X", -1)), one_input("TYPE_FP32", [-1]))
    assert text == PREFIX + "All input dimensions should be specified for input 'X' for model 'm', got [-1]"


@pytest.mark.parametrize("shape", [(3,), (2, 2), (), (-4,)])
def test_a_wrong_shape_without_batching(shape: tuple[int, ...]) -> None:
    text = refusal(call(LEFT._replace(shape=shape), RIGHT), add_sub())
    shown = str(list(shape)).replace(" ", "")
    assert text == PREFIX + f"unexpected shape for input 'LEFT' for model 'addsub'. Expected [4], got {shown}. "


def test_a_wrong_shape_with_batching_explains_the_batch_dimension() -> None:
    text = refusal(call(fp32("X", 1, 17)), one_input("TYPE_FP32", [16], 8))
    assert text == PREFIX + f"unexpected shape for input 'X' for model 'm'. Expected [-1,16], got [1,17]. {NOTE}"


def test_the_client_s_shape_is_compared_with_dims_and_not_with_reshape() -> None:
    config = one_input("TYPE_FP32", [4], 8)
    config["input"][0]["reshape"] = {"shape": [2, 2]}
    assert check(call(fp32("X", 1, 4)), served(config)).batch_size == 1
    assert "Expected [-1,4], got [1,2,2]" in refusal(call(fp32("X", 1, 2, 2)), config)


def test_a_wrong_number_of_bytes() -> None:
    text = refusal(call(LEFT._replace(data=b"\0" * 20), RIGHT), add_sub())
    assert text == PREFIX + "input byte size mismatch for input 'LEFT' for model 'addsub'. Expected 16, got 20"


def test_an_empty_tensor_that_no_array_library_can_hold() -> None:
    config = one_input("TYPE_FP32", [-1, -1])
    text = refusal(call(Tensor("X", "FP32", (2**63, 0), b"")), config)
    assert text == PREFIX + (
        "input 'X' for model 'm' is empty, but its shape [9223372036854775808,0] is larger than any memory in its "
        "other dimensions"
    )
    assert check(call(Tensor("X", "FP32", (2**60, 0), b"")), served(config)).batch_size == 0


def text_call(data: bytes, count: int) -> InferCall:
    return call(Tensor("X", "BYTES", (count,), data))


TEXTS = one_input("TYPE_STRING", [-1])


def test_elements_of_texts_are_counted() -> None:
    assert check(text_call(encode_bytes([b"ab", b""]), 2), served(TEXTS)).fault is None
    assert refusal(text_call(encode_bytes([b"ab"]), 2), TEXTS) == (
        PREFIX + "expected 2 string elements for inference input 'X' for model 'm', got 1"
    )
    assert refusal(text_call(encode_bytes([b"ab", b"c"]), 1), TEXTS) == (
        PREFIX + "unexpected number of string elements 2 for inference input 'X' for model 'm', expecting 1"
    )


def test_a_length_of_a_text_that_is_cut_off() -> None:
    assert refusal(text_call(b"\x02\x00", 1), TEXTS) == PREFIX + (
        "incomplete string length indicator for inference input 'X' for model 'm', expecting 4 bytes but only 2 bytes "
        "available. Please make sure the string length indicator is in one buffer."
    )


def test_a_text_that_is_cut_off_is_a_fault_of_the_execution() -> None:
    fault = check(text_call(b"\x09\x00\x00\x00ab", 1), served(TEXTS)).fault
    assert fault is not None
    assert fault.message == (
        "incomplete string data for inference input 'X', expecting string of length 9 but only 2 bytes available"
    )


@pytest.mark.parametrize(("asked", "expected"), [(0, 2), (1, 1), (3, 3), (4, 2)])
def test_a_priority_out_of_range_becomes_the_default_level(asked: int, expected: int) -> None:
    config = one_input("TYPE_FP32", [1], 8, dynamic_batching={"priority_levels": 3, "default_priority_level": 2})
    assert check(call(fp32("X", 1, 1), priority=asked), served(config)).priority == expected


def test_a_model_without_dynamic_batching_ignores_the_priority() -> None:
    assert check(call(LEFT, RIGHT, priority=2), served(add_sub())).priority == 0
