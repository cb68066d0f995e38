"""How much of one stream may be in flight, in which order its responses go, and the queue before its writer.

All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from shoal.gateway.grpc.convert import Buffer

#: Requests of one stream that are read and not answered; beyond, nothing more is read.
_MAX_REQUESTS = 256
#: Bytes of their messages, and of responses that wait for their turn. One message may be larger.
_MAX_NBYTES = 64 * 2**20
#: Responses that wait for the writer; whoever puts one more waits with it.
_MAX_WAITING = 64
_MAX_WAITING_NBYTES = 256 * 1024

#: A message in pieces.
Message = Sequence[Buffer]


def message_nbytes(message: Message) -> int:
    return sum(map(len, message))


class Window:
    """Counts what of a stream is in flight; whoever reads requests waits for room before each."""

    __slots__ = ("_has_room", "_nbytes", "_requests")

    def __init__(self) -> None:
        self._requests = 0
        self._nbytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def room(self) -> None:
        """Wait until another request may be read."""
        await self._has_room.wait()

    def enter(self, nbytes: int) -> None:
        """A request with a message of so many bytes was read."""
        self._requests += 1
        self.hold(nbytes)

    def leave(self, nbytes: int) -> None:
        """It is over."""
        self._requests -= 1
        self.let_go(nbytes)

    def hold(self, nbytes: int) -> None:
        """So many bytes of a response wait."""
        self._nbytes += nbytes
        self._update()

    def let_go(self, nbytes: int) -> None:
        """They do not any more."""
        self._nbytes -= nbytes
        self._update()

    def _update(self) -> None:
        if self._requests < _MAX_REQUESTS and self._nbytes < _MAX_NBYTES:
            self._has_room.set()
        else:
            self._has_room.clear()


class Turn:
    """The place of a request among those whose responses go in the order of the requests. `end` follows in any case."""

    __slots__ = ("_before", "_ended")

    def __init__(self, before: asyncio.Event | None) -> None:
        self._before = before
        self._ended = asyncio.Event()

    async def comes(self) -> None:
        """Wait until all before have ended."""
        if self._before is not None:
            await self._before.wait()
            self._before = None

    def end(self) -> None:
        self._ended.set()

    def after(self) -> Turn:
        """The next place."""
        return Turn(self._ended)


class Outbox:
    """Responses on their way to the writer, at the writer's pace."""

    __slots__ = ("_failure", "_has_news", "_has_room", "_is_over", "_nbytes", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Message] = []
        self._nbytes = 0
        self._failure: Exception | None = None
        self._is_over = False
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def put(self, message: Message) -> None:
        """Have a response written; returns at once while few wait, otherwise when the writer has taken them. After the
        end it is dropped."""
        if self._is_over:
            return
        self._waiting.append(message)
        self._nbytes += message_nbytes(message)
        self._has_news.set()
        if len(self._waiting) >= _MAX_WAITING or self._nbytes >= _MAX_WAITING_NBYTES:
            self._has_room.clear()
        await self._has_room.wait()

    def end(self, failure: Exception | None = None) -> None:
        """Nothing comes any more; `take` raises the failure, if there is one, when it has given what waits."""
        if not self._is_over:
            self._is_over, self._failure = True, failure
            self._has_news.set()

    async def take(self) -> list[Message]:
        """All responses that wait, one at least; empty at the end. Raises the failure that ended it."""
        await self._has_news.wait()
        if not self._waiting:
            if self._failure is not None:
                raise self._failure
            return []
        taken, self._waiting, self._nbytes = self._waiting, [], 0
        if not self._is_over:
            self._has_news.clear()
        self._has_room.set()
        return taken
