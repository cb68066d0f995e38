"""Request and tensor parameters: which keys mean something, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from region_parts import BytesRegion, no_part
from shoal.core.errors import InvalidArgument, NotFound, ShoalError
from shoal.core.messages import SEQUENCE_END, SEQUENCE_START, Parameter
from shoal.gateway.grpc.parameters import (
    RequestParameters,
    find_region,
    read_classes,
    read_request_parameters,
    write_parameters,
)
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.region_part import RegionPart


def parameters(**given: tuple[str, Any]) -> Any:
    message = service_pb2.ModelInferRequest()
    for key, (field, value) in given.items():
        setattr(message.parameters[key], field, value)
    return message.parameters


def test_parameters_are_sorted_by_who_reads_them() -> None:
    read = read_request_parameters(
        parameters(
            sequence_id=("int64_param", 7),
            sequence_start=("bool_param", True),
            sequence_end=("bool_param", False),
            priority=("uint64_param", 2),
            timeout=("int64_param", 4_000_000),
            text=("string_param", "v"),
            number=("int64_param", -4),
            ratio=("double_param", 0.5),
            yes=("bool_param", True),
            triton_enable_empty_final_response=("bool_param", True),
        )
    )
    others: dict[str, Parameter] = {"text": "v", "number": -4, "ratio": 0.5, "yes": True}
    assert read == RequestParameters(7, SEQUENCE_START, 2, 4_000_000, others)


def test_sequence_ids_are_texts_or_unsigned_numbers() -> None:
    assert read_request_parameters(parameters(sequence_id=("string_param", "a"))).correlation_id == "a"
    assert read_request_parameters(parameters(sequence_id=("int64_param", -1))).correlation_id == 2**64 - 1


def test_sequence_end_is_a_flag() -> None:
    assert read_request_parameters(parameters(sequence_end=("bool_param", True))).flags == SEQUENCE_END


_RESERVED = (
    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
    "'triton_' are allowed: triton_enable_empty_final_response"
)


@pytest.mark.parametrize(
    ("key", "field", "value", "text"),
    [
        (
            "sequence_id",
            "bool_param",
            True,
            "invalid value type for 'sequence_id' parameter, expected int64_param or string_param.",
        ),
        (
            "sequence_start",
            "int64_param",
            1,
            "invalid value type for 'sequence_start' parameter, expected bool_param.",
        ),
        ("sequence_end", "string_param", "", "invalid value type for 'sequence_end' parameter, expected bool_param."),
        (
            "priority",
            "string_param",
            "2",
            "invalid value type for 'priority' parameter, expected int64_param or uint64_param.",
        ),
        ("priority", "int64_param", -1, "invalid value for 'priority', expected value >= 0."),
        ("timeout", "string_param", "2", "invalid value type for 'timeout' parameter, expected int64_param."),
        ("timeout", "int64_param", -1, "invalid value for 'timeout', expected value >= 0."),
        ("triton_secret", "int64_param", 1, _RESERVED),
        (
            "triton_enable_empty_final_response",
            "int64_param",
            1,
            "invalid value type for 'triton_enable_empty_final_response' parameter, expected bool_param.",
        ),
        (
            "big",
            "uint64_param",
            2**63,
            "invalid value type for 'big' parameter, expected int64_param, bool_param, or string_param.",
        ),
    ],
)
def test_wrong_parameters_are_refused_in_tritons_words(key: str, field: str, value: Any, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_request_parameters(parameters(**{key: (field, value)}))
    assert caught.value.message == text


def test_a_parameter_without_a_value_is_refused() -> None:
    given = parameters()
    given["nothing"].SetInParent()
    with pytest.raises(InvalidArgument, match="invalid value type for 'nothing' parameter"):
        read_request_parameters(given)


def test_response_parameters_keep_their_types() -> None:
    response = service_pb2.ModelInferResponse()
    write_parameters(response.parameters, {"b": True, "i": 3, "f": 1.5, "s": "x"})
    fields = {key: value.WhichOneof("parameter_choice") for key, value in response.parameters.items()}
    assert fields == {"b": "bool_param", "i": "int64_param", "f": "double_param", "s": "string_param"}


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (
            {"shared_memory_region": ("string_param", "r"), "shared_memory_byte_size": ("int64_param", 1)},
            NotFound,
            "Unable to find shared memory region: 'r'",
        ),
        (
            {"shared_memory_region": ("string_param", "r")},
            InvalidArgument,
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor 'T'",
        ),
        (
            {"shared_memory_region": ("string_param", "r"), "shared_memory_byte_size": ("string_param", "1")},
            InvalidArgument,
            "invalid value type for 'shared_memory_byte_size' parameter for tensor 'T', expected int64_param.",
        ),
        (
            {"shared_memory_offset": ("int64_param", 1)},
            InvalidArgument,
            "'shared_memory_offset' can not be specified without 'shared_memory_region' parameter for tensor 'T'",
        ),
        (
            {"shared_memory_region": ("int64_param", 1)},
            InvalidArgument,
            "invalid value type for 'shared_memory_region' parameter for tensor 'T', expected string_param.",
        ),
    ],
)
def test_a_region_that_cannot_be_is_refused(given: dict[str, Any], error: type[ShoalError], text: str) -> None:
    with pytest.raises(error) as caught:
        find_region(parameters(**given), "T", no_part)
    assert caught.value.message == text


def test_a_part_of_a_region_is_named_by_three_parameters() -> None:
    given = parameters(
        shared_memory_region=("string_param", "r"),
        shared_memory_offset=("int64_param", 2),
        shared_memory_byte_size=("int64_param", 3),
    )
    part = find_region(given, "T", lambda name, *place: RegionPart(BytesRegion(b"0123456789", name), *place))
    assert part is not None
    assert bytes(part.read()) == b"234"


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"classification": ("int64_param", 0)}, InvalidArgument, "invalid value for 'classification' parameter"),
        ({"classification": ("bool_param", True)}, InvalidArgument, "expected int64_param"),
        (
            {"classification": ("int64_param", 2), "shared_memory_region": ("string_param", "r")},
            InvalidArgument,
            "output can't set both 'shared_memory_region' and 'classification'",
        ),
    ],
)
def test_output_parameters_are_checked(given: dict[str, Any], error: type[ShoalError], text: str) -> None:
    with pytest.raises(error) as caught:
        read_classes(parameters(**given))
    assert text in caught.value.message


def test_other_tensor_parameters_have_no_meaning() -> None:
    assert read_classes(parameters(binary_data=("bool_param", True))) == 0
    assert find_region(parameters(binary_data=("bool_param", True)), "T", no_part) is None
