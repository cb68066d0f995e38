"""The bodies of updates of log and trace settings. A document that is no object says nothing, as in Triton."""

from __future__ import annotations

from typing import Any

from shoal.core.errors import InvalidArgument, Unavailable, Unsupported
from shoal.gateway.http import json_text
from shoal.gateway.http.json_access import array_member, as_bool, as_text, as_unsigned, has_member, member
from shoal.telemetry.trace_settings import levels_from, number_from

_SWITCHES = ("log_info", "log_warning", "log_error")
_VERBOSE_LIMIT = 2**31 - 1
_NUMBERS = ("trace_rate", "trace_count", "log_frequency")


def read_log_changes(body: bytes) -> dict[str, Any]:
    """Settings by key. Raises Unsupported for the log's file, InternalError for no JSON and values of wrong types,
    Unavailable for an unknown format, InvalidArgument for a level beyond 31 bits, which Triton wraps around."""
    document = json_text.parse(body)
    if _is_given(document, "log_file"):
        raise Unsupported("log file location can not be updated through network protocol")
    changes: dict[str, Any] = {
        name: as_bool(member(document, name), name) for name in _SWITCHES if _is_given(document, name)
    }
    if _is_given(document, "log_verbose_level"):
        level = as_unsigned(document["log_verbose_level"], "log_verbose_level")
        if level > _VERBOSE_LIMIT:
            raise InvalidArgument(f"log_verbose_level is {level}, expected {_VERBOSE_LIMIT} at most")
        changes["log_verbose_level"] = level
    if _is_given(document, "log_format"):
        form = as_text(document["log_format"], "log_format")
        if form not in ("default", "ISO8601"):
            raise Unavailable(f"invalid argument for --log_format, got: {form}; expected default or ISO8601")
        changes["log_format"] = form
    return changes


def read_trace_changes(body: bytes) -> dict[str, Any]:
    """Settings by key, None for what is to be taken back. Raises Unsupported for the trace file, InternalError for
    no JSON and values of wrong types, InvalidArgument for others that cannot be."""
    document = json_text.parse(body)
    if has_member(document, "trace_file"):
        raise Unsupported("trace file location can not be updated through network protocol")
    changes: dict[str, Any] = {
        name: None for name in ("trace_level", *_NUMBERS) if has_member(document, name) and document[name] is None
    }
    if _is_given(document, "trace_level"):
        names = [as_text(name, "trace_level") for name in array_member(document, "trace_level")]
        levels = levels_from(names)
        if levels is not None:
            changes["trace_level"] = levels
    for name in _NUMBERS:
        if _is_given(document, name):
            changes[name] = number_from(name, as_text(document[name], name))
    return changes


# A client's JSON document may be anything.
def _is_given(document: Any, name: str) -> bool:
    return has_member(document, name) and document[name] is not None
