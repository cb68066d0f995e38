"""The `parameters` object of an inference request: what Triton knows, and what is handed on to the model."""

from __future__ import annotations

from typing import Any, NamedTuple

from shoal.core.errors import InternalError, InvalidArgument
from shoal.core.messages import SEQUENCE_END, SEQUENCE_START, Parameter
from shoal.gateway.http.json_access import as_bool, as_text, as_unsigned, is_unsigned, printable

_RESERVED_PREFIX = "triton_"
_INT64_LIMIT = 2**63


class RequestParameters(NamedTuple):
    """`correlation_id` 0 is none; `custom` goes to the model; `is_binary_default` is the form of outputs that the
    request does not list."""

    correlation_id: int | str = 0
    flags: int = 0
    priority: int = 0
    timeout_us: int = 0
    is_binary_default: bool = False
    custom: dict[str, Parameter] = {}  # noqa: RUF012 - never written to, and a NamedTuple's defaults have no factories


NO_PARAMETERS = RequestParameters()


def read_parameters(document: Any) -> RequestParameters:
    """Raises InternalError for a known key of the wrong type, InvalidArgument for a reserved key or a custom value
    that is neither string, number nor bool."""
    if type(document) is not dict:
        raise InternalError("failed to get request params.: attempt to get members for non-object")
    known: dict[str, Any] = {}
    custom: dict[str, Parameter] = {}
    flags = 0
    for key, value in document.items():
        if key == "sequence_id":
            known["correlation_id"] = value if is_unsigned(value) else as_text(value, key)
        elif key == "sequence_start":
            flags |= SEQUENCE_START if as_bool(value, key) else 0
        elif key == "sequence_end":
            flags |= SEQUENCE_END if as_bool(value, key) else 0
        elif key == "priority":
            known["priority"] = as_unsigned(value, key)
        elif key == "timeout":
            known["timeout_us"] = as_unsigned(value, key)
        elif key == "binary_data_output":
            known["is_binary_default"] = as_bool(value, key)
        else:
            custom[printable(key)] = _custom(printable(key), value)
    return RequestParameters(**known, flags=flags, custom=custom)


def read_custom(key: str, value: Any) -> Parameter:
    """A parameter for the model. Raises InvalidArgument for a value that is neither string, number nor bool."""
    if type(value) is int and not -_INT64_LIMIT <= value < _INT64_LIMIT:
        return float(value)
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (bool, int, float)):
        return value
    raise InvalidArgument(f"parameter '{key}' has invalid type. It should be either 'int', 'bool', or 'string'.")


def _custom(key: str, value: Any) -> Parameter:
    if key.startswith(_RESERVED_PREFIX):
        raise InvalidArgument(
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
        )
    return read_custom(key, value)
