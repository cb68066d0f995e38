"""Request and tensor parameters: protobuf's `InferParameter` maps, and the rules for the keys that mean something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shoal.core.errors import InvalidArgument
from shoal.core.messages import SEQUENCE_END, SEQUENCE_START, Parameter
from shoal.gateway.region_part import FindPart, RegionPart

#: Correlation ids are unsigned on the wire to the scheduler; gRPC has only signed integers for them.
_UINT64_MASK = 2**64 - 1

_REGION_NUMBERS = ("shared_memory_offset", "shared_memory_byte_size")
_EMPTY_FINAL = "triton_enable_empty_final_response"
_FIELDS = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}


class RequestParameters(NamedTuple):
    """The request's parameters sorted by who reads them; `parameters` are those for the model."""

    correlation_id: int | str
    flags: int
    priority: int
    timeout_us: int
    parameters: dict[str, Parameter]


NO_PARAMETERS = RequestParameters(0, 0, 0, 0, {})


# The values of a map are generated protobuf messages, for which there are no types: `Any` here and below.
def read_request_parameters(given: Mapping[str, Any]) -> RequestParameters:
    """Sort a request's parameters. Raises InvalidArgument naming the key when a reserved one has the wrong type."""
    settings: dict[str, Any] = {"correlation_id": 0, "priority": 0, "timeout_us": 0}
    flags = 0
    others: dict[str, Parameter] = {}
    for key, value in given.items():
        if key in ("sequence_start", "sequence_end"):
            if _expect(key, value, "bool_param"):
                flags |= SEQUENCE_START if key == "sequence_start" else SEQUENCE_END
        elif key in _RESERVED:
            field, read = _RESERVED[key]
            settings[field] = read(value)
        elif key.startswith("triton_"):
            _check_reserved(key, value)
        else:
            others[key] = _free(key, value)
    return RequestParameters(flags=flags, parameters=others, **settings)


def wants_empty_final(parameters: Mapping[str, Any]) -> bool:
    """Whether a request, whose parameters were read before, wants to hear of an end without a response."""
    return _EMPTY_FINAL in parameters and bool(parameters[_EMPTY_FINAL].bool_param)


def write_parameters(target: Any, parameters: Mapping[str, Parameter]) -> None:
    """Put a response's parameters into a protobuf map."""
    for key, value in parameters.items():
        setattr(target[key], _FIELDS[type(value)], value)


def find_region(parameters: Mapping[str, Any], tensor: str, find_part: FindPart) -> RegionPart | None:
    """The part of a shared-memory region that a tensor's parameters name; None when they name none.

    Raises InvalidArgument for keys that contradict each other, and what `find_part` raises.
    """
    if "shared_memory_region" not in parameters:
        for key in _REGION_NUMBERS:
            if key in parameters:
                raise InvalidArgument(
                    f"'{key}' can not be specified without 'shared_memory_region' parameter for tensor '{tensor}'"
                )
        return None
    name = _region_parameter(parameters, "shared_memory_region", tensor, "string_param")
    if "shared_memory_byte_size" not in parameters:
        raise InvalidArgument(
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor "
            f"'{tensor}'"
        )
    offset, nbytes = (
        int(_region_parameter(parameters, key, tensor, "int64_param")) if key in parameters else 0
        for key in _REGION_NUMBERS
    )
    return find_part(str(name), offset, nbytes)


def _region_parameter(parameters: Mapping[str, Any], key: str, tensor: str, field: str) -> str | int:
    value = parameters[key]
    if value.WhichOneof("parameter_choice") != field:
        raise InvalidArgument(f"invalid value type for '{key}' parameter for tensor '{tensor}', expected {field}.")
    chosen: str | int = getattr(value, field)
    return chosen


def read_classes(parameters: Mapping[str, Any]) -> int:
    """How many classes are wanted instead of a requested output's values, 0 for the values.

    Raises InvalidArgument for parameters that make no sense.
    """
    if "classification" not in parameters:
        return 0
    if "shared_memory_region" in parameters:
        raise InvalidArgument("output can't set both 'shared_memory_region' and 'classification'")
    classes = int(_expect("classification", parameters["classification"], "int64_param"))
    if classes <= 0:
        raise InvalidArgument("invalid value for 'classification' parameter, expected >= 0")
    return classes


def _wrong_type(key: str, *expected: str) -> InvalidArgument:
    names = f"{', '.join(expected[:-1])} or {expected[-1]}" if len(expected) > 1 else expected[0]
    return InvalidArgument(f"invalid value type for '{key}' parameter, expected {names}.")


def _expect(key: str, value: Any, field: str) -> Any:
    if value.WhichOneof("parameter_choice") != field:
        raise _wrong_type(key, field)
    return getattr(value, field)


def _correlation_id(value: Any) -> int | str:
    match value.WhichOneof("parameter_choice"):
        case "int64_param":
            return int(value.int64_param) & _UINT64_MASK
        case "string_param":
            return str(value.string_param)
    raise _wrong_type("sequence_id", "int64_param", "string_param")


def _priority(value: Any) -> int:
    match value.WhichOneof("parameter_choice"):
        case "uint64_param":
            return int(value.uint64_param)
        case "int64_param" if value.int64_param >= 0:
            return int(value.int64_param)
        case "int64_param":
            raise InvalidArgument("invalid value for 'priority', expected value >= 0.")
    raise _wrong_type("priority", "int64_param", "uint64_param")


def _timeout_us(value: Any) -> int:
    timeout_us = int(_expect("timeout", value, "int64_param"))
    if timeout_us < 0:
        raise InvalidArgument("invalid value for 'timeout', expected value >= 0.")
    return timeout_us


def _check_reserved(key: str, value: Any) -> None:
    if key != _EMPTY_FINAL:
        raise InvalidArgument(
            "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting "
            f"with 'triton_' are allowed: {_EMPTY_FINAL}"
        )
    _expect(key, value, "bool_param")


def _free(key: str, value: Any) -> Parameter:
    field = value.WhichOneof("parameter_choice")
    if field is None or field == "uint64_param":
        raise InvalidArgument(
            f"invalid value type for '{key}' parameter, expected int64_param, bool_param, or string_param."
        )
    parameter: Parameter = getattr(value, field)
    return parameter


_RESERVED: dict[str, tuple[str, Callable[[Any], int | str]]] = {
    "sequence_id": ("correlation_id", _correlation_id),
    "priority": ("priority", _priority),
    "timeout": ("timeout_us", _timeout_us),
}
