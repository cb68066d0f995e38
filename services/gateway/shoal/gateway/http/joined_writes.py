"""uvicorn's HTTP protocol with one system call and one packet per small response instead of two, and bounded heads.

uvicorn writes a response's head and body one after the other, and uvloop sends each at once. Here the head waits for
the body, which spares the client a wake-up, too. The head of a request may be of any size for uvicorn, which keeps it
in memory until it is complete.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD = b"HTTP/1.1 "
_CONTINUE = b"HTTP/1.1 100"
#: Above this size copying costs more than a second system call.
_JOIN_LIMIT_NBYTES = 64 * 1024
#: Of a request's line and headers, beside the piece of data in which they begin.
_HEAD_LIMIT_NBYTES = 64 * 1024
_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class JoinedWrites:
    """A transport that keeps the head of a response until its body is written, or until `flush` or `close`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes | memoryview) -> None:
        head = self._head
        if head is not None:
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
        if head is not None:
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        # Everything else is the transport's own, of whatever type.
        return getattr(self._transport, name)


class JoiningProtocol(HttpToolsProtocol):
    """One connection."""

    _incoming_nbytes = 0
    #: What has come of a head that is not complete; None between heads.
    _head_nbytes: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio's, but not their class.
        self._joined = JoinedWrites(cast(asyncio.Transport, transport))
        super().connection_made(cast(asyncio.Transport, self._joined))

    def on_response_complete(self) -> None:
        self._joined.flush()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        self._incoming_nbytes = len(data)
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
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_nbytes = None
        super().on_headers_complete()
