"""Bodies of load and unload requests (errors as the real Triton gives them, where they are not ours)."""

from __future__ import annotations

import pytest

from shoal.core.errors import InternalError, InvalidArgument, ShoalError
from shoal.gateway.http.repository_control import read_load, read_unload
from shoal.gateway.model_control import LoadOverrides

NOTHING = LoadOverrides(None, {})


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"5", b"null", b'{"parameters":{}}'])
def test_a_body_may_say_nothing(body: bytes) -> None:
    assert read_load(body) == NOTHING
    assert read_unload(body) is False


def test_a_configuration_and_files_are_read() -> None:
    body = b'{"parameters":{"config":"{\\"backend\\":\\"b\\"}","file:1/model.py":"/w==","file:empty":""}}'
    expected = LoadOverrides('{"backend":"b"}', {"file:1/model.py": b"\xff", "file:empty": b""})
    assert read_load(body) == expected


@pytest.mark.parametrize(("value", "chosen"), [(b"true", True), (b"false", False)])
def test_dependents_are_taken_along_when_asked_for(value: bytes, chosen: bool) -> None:
    assert read_unload(b'{"parameters":{"other":1,"unload_dependents":%s}}' % value) is chosen


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        (b"[]", InternalError, "attempt to get members for non-object"),
        (b"null", InternalError, "attempt to get members for non-object"),
        (b'{"config":5}', InternalError, "attempt to access JSON non-string as string"),
        (b'{"other":5}', InternalError, "attempt to access JSON non-string as string"),
        (b'{"other":"x"}', InternalError, "unexpected error on creating Triton parameter: 'other' is none"),
        (b'{"file:a":"no base64!"}', InvalidArgument, "load parameter 'file:a' is no base64"),
        (b'{"file:a":"\xc3\xa9"}', InvalidArgument, "load parameter 'file:a' is no base64"),
    ],
)
def test_loads_with_other_parameters_are_refused(parameters: bytes, error: type[ShoalError], text: str) -> None:
    with pytest.raises(error, match=text):
        read_load(b'{"parameters":%s}' % parameters)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        (b'{"parameters":[]}', "attempt to get members for non-object"),
        (b'{"parameters":{"unload_dependents":1}}', "Unable to parse 'unload_dependents': attempt to access JSON"),
    ],
)
def test_unloads_with_other_bodies_are_refused(body: bytes, text: str) -> None:
    with pytest.raises(InternalError, match=text):
        read_unload(body)
