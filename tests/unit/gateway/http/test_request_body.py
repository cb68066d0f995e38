from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from shoal.gateway.admission import Admission
from shoal.gateway.errors import Overloaded
from shoal.gateway.http.asgi import Receive
from shoal.gateway.http.request_body import ClientLeft, RequestBody


def received(*messages: MutableMapping[str, Any]) -> Receive:
    waiting = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(waiting)

    return receive


def piece(body: bytes, more: bool) -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_is_kept_in_the_pieces_in_which_it_came_until_it_is_taken() -> None:
    body = RequestBody(Admission(), "m", 3)
    body.enter()
    await body.read(received(piece(b"ab", True), piece(b"c", False)))
    assert body.take() == [b"ab", b"c"]
    assert body.take() == []


async def test_a_body_of_undeclared_size_is_counted_as_it_comes() -> None:
    admission = Admission(max_bytes=100)
    body = RequestBody(admission, "m", 0)
    body.enter()
    admission.enter(90, "m")
    with pytest.raises(Overloaded):
        await body.read(received(piece(bytes(8), True), piece(bytes(8), True)))
    assert admission.nbytes == 98
    body.leave()
    assert (admission.requests, admission.nbytes) == (1, 90)


async def test_a_client_that_leaves_in_the_middle_of_a_body_is_told_apart() -> None:
    body = RequestBody(Admission(), "m", 9)
    body.enter()
    with pytest.raises(ClientLeft):
        await body.read(received(piece(b"ab", True), {"type": "http.disconnect"}))
