"""uvicorn's HTTP protocol with one system call and one packet per small response instead of two, and bounded requests.

uvicorn writes a response's head and body one after the other, and uvloop sends each at once. Here the head waits for
the body, which spares the client a wake-up, too. The head of a request may be of any size for uvicorn, which keeps it
in memory until it is complete; and a body may come in any number of chunks, each of which costs as much to read as a
small request.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from httptools import HttpParserError

from shoal.gateway.http.upgrades import UpgradeIgnoringProtocol

_HEAD = b"HTTP/1.1 "
_CONTINUE = b"HTTP/1.1 100"
#: Above this size copying costs more than a second system call.
_JOIN_LIMIT_NBYTES = 64 * 1024
#: Of a request's line and headers, beside the piece of data in which they begin.
_HEAD_LIMIT_NBYTES = 64 * 1024
#: Chunks with content in one request, as in Triton.
_CHUNK_LIMIT = 65_536
#: In a scope's state: the headers as they came, where they are kept.
NAMED_HEADERS = "named_headers"
_TOO_MANY = b'{"error":"gateway is overloaded: it has as many connections as it takes; try again later"}'
_TOO_MANY_CONNECTIONS = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_TOO_MANY), _TOO_MANY)
)
_STALLED = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class JoinedWrites:
    """A transport that keeps the head of a response until its body is written, or until `flush` or `close`. What is
    written after it was closed, by whichever side, is dropped: uvloop's own transports raise an error then."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes | memoryview) -> None:
        head = self._head
        if self._transport.is_closing():
            self._head = None
        elif head is not None:
            self._head = None
            if len(data) <= _JOIN_LIMIT_NBYTES:
                self._transport.write(b"".join((head, data)))
            else:
                self._transport.write(head)
                self._transport.write(data)
        elif data[: len(_HEAD)] == _HEAD and data[: len(_CONTINUE)] != _CONTINUE:
            self._head = bytes(data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write a head that no body followed."""
        head, self._head = self._head, None
        if head is not None and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        # Everything else is the transport's own, of whatever type.
        return getattr(self._transport, name)


class JoiningProtocol(UpgradeIgnoringProtocol):
    """One connection. Beyond `max_connections` it is refused at once. With `keeps_names` the headers of a request, with
    their names as they came, are in the scope's state."""

    #: When the client last sent something, or connected, by the loop's clock.
    heard_at = 0.0
    _incoming_nbytes = 0
    #: What has come of a head that is not complete; None between heads.
    _head_nbytes: int | None = None
    _chunks = 0

    # Whatever uvicorn gives a protocol, which is not ours to name.
    def __init__(self, *given: Any, max_connections: int | None = None, keeps_names: bool = False, **more: Any) -> None:
        super().__init__(*given, **more)
        self._max_connections = max_connections
        self._keeps_names = keeps_names

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, but not their class.
        self.heard_at = self.loop.time()
        self._joined = JoinedWrites(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, self._joined))
        if self._max_connections is not None and len(self.connections) > self._max_connections:
            transport = cast(asyncio.Transport, transport)
            transport.write(_TOO_MANY_CONNECTIONS)
            transport.close()

    @property
    def waits_for_client(self) -> bool:
        """Whether the client is in the middle of a request, or has not begun one since it connected, and is not held up
        by us."""
        if self.flow.read_paused:
            return False
        if self._head_nbytes is not None or self.cycle is None:
            return True
        return self.cycle.more_body and not self.cycle.response_complete

    def give_up(self) -> None:
        """Close the connection of a client that stopped in the middle of a request."""
        if self._head_nbytes is not None or (self.cycle is not None and not self.cycle.response_started):
            self._joined.write(_STALLED)
        self._joined.close()

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            # In the middle of a response it would be taken for a part of that.
            self._joined.close()
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        self._joined.flush()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        self._incoming_nbytes = len(data)
        self.heard_at = self.loop.time()
        super().data_received(data)
        if self._head_nbytes is not None:
            self._head_nbytes += len(data)
            if self._head_nbytes > _HEAD_LIMIT_NBYTES and not self._joined.is_closing():
                self._joined.flush()
                self._joined.write(_HEAD_TOO_LARGE)
                self._joined.close()

    def on_message_begin(self) -> None:
        # The data in which it begins does not count: most of it may belong to the request before.
        self._head_nbytes = -self._incoming_nbytes
        self._chunks = 0
        super().on_message_begin()
        if self._keeps_names:
            self.scope["state"][NAMED_HEADERS] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._keeps_names:
            self.scope["state"][NAMED_HEADERS].append((name, value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_nbytes = None
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._chunks += 1
        # The chunk that ends a body is empty.
        if self._chunks > _CHUNK_LIMIT + 1:
            # The parser stops, and uvicorn answers 400 and closes the connection.
            raise HttpParserError(f"more than {_CHUNK_LIMIT} chunks")
