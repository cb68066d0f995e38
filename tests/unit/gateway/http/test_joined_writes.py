from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from uvicorn.server import ServerState

from shoal.gateway.http.asgi import Receive, Scope, Send, send_all
from shoal.gateway.http.joined_writes import NAMED_HEADERS, JoinedWrites, JoiningProtocol

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Socket(asyncio.Transport):
    """A transport that writes down what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
def socket() -> Socket:
    return Socket()


def test_a_head_leaves_together_with_its_body(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    assert socket.written == []
    transport.write(memoryview(b"body"))
    transport.write(b"more")
    assert socket.written == [HEAD + b"body", b"more"]


def test_a_large_body_is_not_copied(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    transport.write(bytes(100_000))
    assert [len(data) for data in socket.written] == [len(HEAD), 100_000]


def test_a_head_without_a_body_is_flushed_at_the_end_of_its_response(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    transport.flush()
    transport.flush()
    assert socket.written == [HEAD]


def test_what_is_written_after_the_end_is_dropped(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    socket.close()
    transport.write(b"body")
    transport.write(HEAD)
    transport.flush()
    assert socket.written == []


def test_closing_writes_what_is_kept(socket: Socket) -> None:
    transport = JoinedWrites(socket)
    transport.write(HEAD)
    transport.close()
    assert socket.written == [HEAD]
    assert transport.is_closing()


def test_an_invitation_to_go_on_does_not_wait(socket: Socket) -> None:
    JoinedWrites(socket).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert socket.written == [b"HTTP/1.1 100 Continue\r\n\r\n"]


async def count_body(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the size of the request's body."""
    nbytes, more = 0, True
    while more:
        message = await receive()
        nbytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send_all(send, 200, b"text/plain", b"%d" % nbytes)


@pytest.mark.parametrize(("chunks", "status", "is_closed"), [(65_536, b"200", False), (65_537, b"400", True)])
async def test_a_request_in_too_many_chunks_is_refused_and_its_connection_closed(
    socket: Socket, chunks: int, status: bytes, is_closed: bool
) -> None:
    config = uvicorn.Config(count_body, log_config=None)
    config.load()
    state = ServerState()
    protocol = JoiningProtocol(config, state, {})
    protocol.connection_made(socket)
    protocol.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    protocol.data_received(b"1\r\nx\r\n" * chunks + b"0\r\n\r\n")
    if not is_closed:
        await asyncio.gather(*state.tasks)
    assert (socket.written[0].split(b" ")[1], socket.closed) == (status, is_closed)
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)


async def test_connections_beyond_the_limit_are_refused_at_once() -> None:
    config = uvicorn.Config(send_nothing, log_config=None)
    config.load()
    state = ServerState()
    first, second = Socket(), Socket()
    for transport in (first, second):
        JoiningProtocol(config, state, {}, max_connections=1).connection_made(transport)
    assert (first.closed, second.closed) == (False, True)
    assert second.written[0].startswith(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n")


async def test_headers_are_kept_with_their_names_as_they_came_where_that_is_wanted(socket: Socket) -> None:
    seen: list[object] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["state"].get(NAMED_HEADERS))
        await send_all(send, 200, b"text/plain", b"")

    config = uvicorn.Config(look, log_config=None)
    config.load()
    state = ServerState()
    for keeps_names in (True, False):
        protocol = JoiningProtocol(config, state, {}, keeps_names=keeps_names)
        protocol.connection_made(socket)
        protocol.data_received(b"GET / HTTP/1.1\r\nX-My: One\r\n\r\n")
        await asyncio.gather(*state.tasks)
        protocol.connection_lost(None)
    assert seen == [[(b"X-My", b"One")], None]


def connection(
    socket: Socket, state: ServerState, app: Callable[[Scope, Receive, Send], Awaitable[None]]
) -> JoiningProtocol:
    config = uvicorn.Config(app, log_config=None)
    config.load()
    protocol = JoiningProtocol(config, state, {})
    protocol.connection_made(socket)
    return protocol


@pytest.mark.parametrize(
    ("sent", "waits"),
    [
        (b"", True),
        (b"POST / HTTP/1.1\r\nContent-Le", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc", True),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", False),
    ],
)
async def test_a_client_is_waited_for_until_its_request_is_whole(socket: Socket, sent: bytes, waits: bool) -> None:
    state = ServerState()
    protocol = connection(socket, state, count_body)
    protocol.data_received(sent)
    assert protocol.waits_for_client is waits
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)


async def test_a_client_that_is_waited_for_in_vain_is_told_so(socket: Socket) -> None:
    state = ServerState()
    protocol = connection(socket, state, count_body)
    protocol.data_received(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc")
    protocol.give_up()
    assert socket.written == [b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"]
    assert socket.closed
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)


async def test_what_is_no_request_never_gets_into_the_response_before_it(socket: Socket) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        began.set()
        await may_end.wait()

    state = ServerState()
    protocol = connection(socket, state, stream)
    protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    await began.wait()
    protocol.data_received(b"no request\r\n\r\n")
    assert socket.closed and not any(b"400" in written for written in socket.written)
    may_end.set()
    protocol.connection_lost(None)
    await asyncio.gather(*state.tasks)


async def send_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send_all(send, 200, b"text/plain", b"")
