from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.gateway.header_forwarding import HeaderForwarding, header_forwarding
from shoal.gateway.request import InferCall

CALL = InferCall("m", None, "", 0, 0, 0, 0, None, (), (), {"x-a": "body", "n": 1}, "")


def forwarding(pattern: str) -> HeaderForwarding:
    found = header_forwarding(pattern)
    assert found is not None
    return found


def test_headers_found_by_the_pattern_become_texts_over_those_of_the_body() -> None:
    headers = [(b"X-A", b"1"), (b"x-a", b"first"), (b"x-a", b"last"), (b"other", b"2")]
    assert forwarding("^x-").forward(CALL, headers).parameters == {"X-A": "1", "x-a": "last", "n": 1}


def test_without_such_headers_the_call_is_the_same() -> None:
    assert forwarding("^x-").forward(CALL, [(b"other", b"2")]) is CALL


@pytest.mark.parametrize("name", [b"timeout", b"Priority", b"sequence_id", b"triton_x", b"Triton_x"])
def test_reserved_names_are_refused(name: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        forwarding(".*").forward(CALL, [(name, b"1")])
    assert caught.value.message == f"Header '{name.decode()}' is reserved for Triton usage and cannot be forwarded."


def test_values_are_texts_whatever_their_bytes() -> None:
    forwarded = forwarding("x").forward(CALL, [(b"x-u", "é".encode()), (b"x-l", b"\xe9")]).parameters
    assert (forwarded["x-u"], forwarded["x-l"]) == ("é", "é")


def test_no_pattern_forwards_nothing() -> None:
    assert header_forwarding("") is None
