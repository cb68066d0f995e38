from __future__ import annotations

from typing import Any

import pytest

from gateway_models import add_sub, one_input
from region_parts import no_part
from shoal.core.errors import InvalidArgument
from shoal.core.model_config import from_json
from shoal.core.tensors import Tensor
from shoal.gateway.http.infer_request import CallContext, OutputForm
from shoal.gateway.http.raw_request import parse_raw_request
from shoal.gateway.scattered import contiguous

CONTEXT = CallContext("m", None, None, "", no_part)


def tensor(body: bytes, config: dict[str, Any]) -> Tensor:
    """The only input, of a body that came in two pieces."""
    parsed = parse_raw_request(CONTEXT, [body[:5], body[5:]], from_json(config))
    assert parsed.form.default_form == OutputForm(is_binary=True)
    (only,) = parsed.call.inputs
    return contiguous(only)


def refusal(body: bytes, config: dict[str, Any]) -> str:
    with pytest.raises(InvalidArgument) as caught:
        parse_raw_request(CONTEXT, [body], from_json(config))
    return caught.value.message


def test_the_variable_dimension_follows_from_the_size() -> None:
    assert tensor(bytes(12), one_input("TYPE_FP32", [-1])) == Tensor("X", "FP32", (3,), bytes(12))


def test_a_batching_model_gets_a_batch_of_one() -> None:
    assert tensor(bytes(12), one_input("TYPE_INT32", [-1, 3], 4)).shape == (1, 1, 3)


def test_an_empty_body_is_an_empty_tensor() -> None:
    assert tensor(b"", one_input("TYPE_FP32", [-1])).shape == (0,)


def test_a_text_gets_its_length() -> None:
    assert tensor(b"ab", one_input("TYPE_STRING", [1])).data == b"\2\0\0\0ab"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            add_sub(),
            "Raw request must only have 1 input (found 1) to be deduced but got 2 inputs in 'addsub' model "
            "configuration",
        ),
        (one_input("TYPE_STRING", [-1]), "For BYTE datatype raw input 'X', the model must have input shape [1]"),
        (
            one_input("TYPE_FP32", [-1, -1]),
            "The shape of the raw input 'X' can not be deduced because there are more than one variable-sized "
            "dimension",
        ),
        (
            one_input("TYPE_FP32", [-1]),
            "input byte size mismatch for input 'raw_input' for model 'm'. Expected 0, got 3",
        ),
        (
            one_input("TYPE_FP32", [4]),
            "input byte size mismatch for input 'raw_input' for model 'm'. Expected 16, got 3",
        ),
    ],
)
def test_what_cannot_be_deduced_is_refused(config: dict[str, Any], expected: str) -> None:
    assert refusal(b"abc", config) == "[request id: <id_unknown>] " + expected
