from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from shoal.core.errors import InvalidArgument
from shoal.gateway.admission import Admission
from shoal.gateway.errors import Overloaded
from shoal.gateway.http.counted_body import CountedBody

DISCONNECT = {"type": "http.disconnect"}


def body_of(admission: Admission, *chunks: bytes, limit_nbytes: int = 100) -> CountedBody:
    coming: list[MutableMapping[str, Any]] = [
        *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks),
        DISCONNECT,
    ]

    async def receive() -> MutableMapping[str, Any]:
        return coming.pop(0)

    return CountedBody(receive, admission, limit_nbytes)


async def test_what_is_read_is_in_flight_until_the_answer() -> None:
    admission = Admission()
    body = body_of(admission, b"12345", b"678")
    assert [(await body.receive())["body"] for _ in range(2)] == [b"12345", b"678"]
    assert (admission.requests, admission.nbytes) == (0, 8)
    assert await body.receive() == DISCONNECT
    body.leave()
    body.leave()
    assert admission.nbytes == 0


async def test_a_body_that_becomes_too_large_is_refused() -> None:
    admission = Admission()
    body = body_of(admission, b"12345", b"678", limit_nbytes=7)
    await body.receive()
    with pytest.raises(InvalidArgument, match="request of 8 bytes exceeds the maximum allowed size of 7 bytes"):
        await body.receive()
    body.leave()
    assert admission.nbytes == 0


async def test_a_body_is_refused_while_too_much_is_in_flight() -> None:
    admission = Admission(max_bytes=6)
    other = body_of(admission, b"123")
    await other.receive()
    body = body_of(admission, b"1234")
    with pytest.raises(Overloaded, match="needs 4 bytes and 3 are in flight"):
        await body.receive()
    body.leave()
    assert admission.nbytes == 3
