from __future__ import annotations

import asyncio

import pytest
import uvicorn
from uvicorn.server import ServerState

from shoal.gateway.http.asgi import Receive, Scope, Send, send_all
from shoal.gateway.http.upgrades import UpgradeIgnoringProtocol

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
LENGTH = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Socket(asyncio.Transport):
    """A transport that writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path, the number of headers and the body, between bars."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = b"|%s %d %s|" % (scope["raw_path"], len(scope["headers"]), body)
    await send_all(send, 200, b"text/plain", answer)


async def answers(*data: bytes) -> list[bytes]:
    """What a connection that receives this is answered."""
    config = uvicorn.Config(echo, log_config=None)
    config.load()
    state, socket = ServerState(), Socket()
    protocol = UpgradeIgnoringProtocol(config, state, {})
    protocol.connection_made(socket)
    for piece in data:
        protocol.data_received(piece)
    async with asyncio.timeout(5):
        while state.tasks:
            await asyncio.wait(state.tasks)
    protocol.connection_lost(None)
    return socket.written.split(b"|")[1::2]


@pytest.mark.parametrize(("length", "body"), [(LENGTH, b"hello"), (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n")])
async def test_the_body_of_a_request_with_an_offer_is_read(length: bytes, body: bytes) -> None:
    head = b"POST /a HTTP/1.1\r\n" + OFFER + length + b"\r\n"
    next_request = b"GET /b HTTP/1.1\r\n\r\n"
    assert await answers(head + body) == [b"/a 4 hello"]
    assert await answers(head, body[:2], body[2:]) == [b"/a 4 hello"]
    assert await answers(head + body + next_request) == [b"/a 4 hello", b"/b 0 "]


async def test_an_offer_without_a_body_is_ignored() -> None:
    request = b"GET /a HTTP/1.1\r\n" + OFFER + b"\r\n"
    assert await answers(request) == [b"/a 3 "]
    assert await answers(request + request) == [b"/a 3 ", b"/a 3 "]


async def test_what_is_no_request_ends_the_connection() -> None:
    assert await answers(b"nonsense\r\n\r\n") == []
