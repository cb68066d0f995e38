"""The request messages of a stream as they come out of Envoy: read one by one, when they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from shoal.gateway.grpc.convert import Received
from shoal.gateway.grpc.framing import Frame, FrameReader
from shoal.gateway.grpc.open_calls import AsgiMessage, Receive
from shoal.gateway.grpc.status import ClientLeft
from shoal.gateway.limits import MESSAGE_LIMIT_BYTES


class IncomingMessages:
    """An asynchronous iterator; what is not asked for stays with the client, by HTTP/2's flow control.

    `plain` makes the message of a frame, of `limit_nbytes` at most. The iteration raises RpcError for a body that is no
    sequence of frames, and ClientLeft.
    """

    def __init__(
        self, receive: Receive, plain: Callable[[Frame], Awaitable[Received]], limit_nbytes: int = MESSAGE_LIMIT_BYTES
    ) -> None:
        self._receive = receive
        self._plain = plain
        self._frames = FrameReader(limit_nbytes)
        self._has_more = True
        self._coming: asyncio.Future[AsgiMessage] | None = None

    @property
    def is_listening(self) -> bool:
        """Whether a piece of the body is being waited for: then the iteration ends when the client leaves."""
        return self._coming is not None

    def __aiter__(self) -> IncomingMessages:
        return self

    async def __anext__(self) -> Received:
        while True:
            found = self._frames.next()
            if found is not None:
                return await self._plain(found)
            if not self._has_more:
                self._frames.end()
                raise StopAsyncIteration
            event = await self._event()
            if event["type"] != "http.request":
                raise ClientLeft
            self._frames.feed(event["body"])
            self._has_more = event["more_body"]

    async def _event(self) -> AsgiMessage:
        self._coming = asyncio.ensure_future(self._receive())
        # Not awaited itself, since it must not be cancelled with the reader: pyvoy answers it in any case.
        await asyncio.wait({self._coming})
        event, self._coming = self._coming.result(), None
        return event
