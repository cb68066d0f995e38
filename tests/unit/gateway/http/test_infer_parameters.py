from __future__ import annotations

from typing import Any

import pytest

from shoal.core.errors import InternalError, InvalidArgument
from shoal.core.messages import Parameter
from shoal.gateway.http.infer_parameters import RequestParameters, read_parameters


def test_known_parameters_are_taken_out_and_the_rest_goes_to_the_model() -> None:
    document = {
        "sequence_id": 42,
        "sequence_start": True,
        "sequence_end": True,
        "priority": 1,
        "timeout": 5,
        "binary_data_output": True,
        "text": "v",
        "num": -4,
        "yes": True,
        "dbl": 1.5,
    }
    custom: dict[str, Parameter] = {"text": "v", "num": -4, "yes": True, "dbl": 1.5}
    assert read_parameters(document) == RequestParameters(42, 3, 1, 5, True, custom)


def test_a_sequence_id_may_be_a_text() -> None:
    assert read_parameters({"sequence_id": "forty-two"}).correlation_id == "forty-two"


def test_an_integer_beyond_64_bits_reaches_the_model_as_a_double() -> None:
    assert read_parameters({"big": 2**63}).custom == {"big": 9.223372036854775807e18}


@pytest.mark.parametrize("document", [None, [1], "x"])
def test_parameters_must_be_an_object(document: Any) -> None:
    with pytest.raises(InternalError) as caught:
        read_parameters(document)
    assert caught.value.message == "failed to get request params.: attempt to get members for non-object"


@pytest.mark.parametrize(
    ("key", "value", "mismatch"),
    [
        ("priority", -1, "non-unsigned-integer as unsigned-integer"),
        ("timeout", "5", "non-unsigned-integer as unsigned-integer"),
        ("sequence_id", -1, "non-string as string"),
        ("sequence_start", 1, "non-boolean as boolean"),
        ("binary_data_output", 1, "non-boolean as boolean"),
    ],
)
def test_known_parameters_have_a_type(key: str, value: Any, mismatch: str) -> None:
    with pytest.raises(InternalError) as caught:
        read_parameters({key: value})
    assert caught.value.message == f"Unable to parse '{key}': attempt to access JSON {mismatch}"


def test_keys_of_triton_are_reserved() -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_parameters({"triton_private": 1})
    assert caught.value.message == (
        "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
    )


@pytest.mark.parametrize("value", [None, [], {}])
def test_parameters_for_the_model_are_scalars(value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_parameters({"nothing": value})
    assert caught.value.message == (
        "parameter 'nothing' has invalid type. It should be either 'int', 'bool', or 'string'."
    )
