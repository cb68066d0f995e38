from __future__ import annotations

import json
from typing import Any

import pytest

from shoal.core.errors import InternalError, InvalidArgument, ShoalError, Unavailable, Unsupported
from shoal.gateway.http.settings_changes import read_log_changes, read_trace_changes


def body(document: Any) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def test_log_settings_are_taken_by_key_and_null_says_nothing() -> None:
    document = {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601", "log_error": None, "colour": 1}
    assert read_log_changes(body(document)) == {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601"}
    assert read_log_changes(body({"log_file": None})) == {}


@pytest.mark.parametrize("document", [[1], "x", 3, None])
def test_what_is_no_object_says_nothing(document: Any) -> None:
    assert read_log_changes(body(document)) == {}
    assert read_trace_changes(body(document)) == {}


@pytest.mark.parametrize(
    ("document", "error", "text"),
    [
        (b"", InternalError, "failed to parse the request JSON buffer: The document is empty. at 0"),
        ({"log_file": "f"}, Unsupported, "log file location can not be updated through network protocol"),
        ({"log_warning": "true"}, InternalError, "attempt to access JSON non-boolean as boolean"),
        ({"log_verbose_level": True}, InternalError, "attempt to access JSON non-unsigned-integer"),
        ({"log_verbose_level": 5_000_000_000}, InvalidArgument, "log_verbose_level is 5000000000, expected 2147483647"),
        ({"log_format": 3}, InternalError, "attempt to access JSON non-string as string"),
        ({"log_format": "poem"}, Unavailable, "invalid argument for --log_format, got: poem"),
    ],
)
def test_log_settings_that_cannot_be_are_refused(document: Any, error: type[ShoalError], text: str) -> None:
    with pytest.raises(error) as raised:
        read_log_changes(body(document))
    assert text in raised.value.message


def test_trace_settings_are_taken_by_key_and_null_takes_them_back() -> None:
    document = {"trace_level": ["TENSORS"], "trace_rate": "17", "trace_count": None, "trace_mode": "x"}
    assert read_trace_changes(body(document)) == {"trace_level": ["TENSORS"], "trace_rate": 17, "trace_count": None}
    assert read_trace_changes(body({"trace_level": None})) == {"trace_level": None}
    assert read_trace_changes(body({"trace_level": ["OFF"]})) == {"trace_level": []}
    assert read_trace_changes(body({"trace_level": []})) == {}


@pytest.mark.parametrize(
    ("document", "error", "text"),
    [
        (b"{", InternalError, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        ({"trace_file": None}, Unsupported, "trace file location can not be updated through network protocol"),
        ({"trace_level": "TENSORS"}, InternalError, "attempt to access JSON non-array as array"),
        ({"trace_level": [1]}, InternalError, "attempt to access JSON non-string as string"),
        ({"trace_level": ["OFF", "OFF"]}, InvalidArgument, "Expect only one trace level 'OFF' is specified"),
        ({"trace_rate": 17}, InternalError, "attempt to access JSON non-string as string"),
        ({"log_frequency": "x"}, InvalidArgument, "Unable to parse 'log_frequency', got: x"),
    ],
)
def test_trace_settings_that_cannot_be_are_refused(document: Any, error: type[ShoalError], text: str) -> None:
    with pytest.raises(error) as raised:
        read_trace_changes(body(document))
    assert text in raised.value.message
