"""The responses to one request between their arrival and their consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from shoal.gateway.request import StreamedAnswer


class AnswerStream:
    """Made by `Submitter.stream`; `next` for the consumer until the final one, and `close` in any case. Whoever answers
    gives few responses ahead of those that were taken, so that few wait here."""

    def __init__(self, on_taken: Callable[[int], None], on_close: Callable[[], None]) -> None:
        """`on_taken` is called with the number of the response, from 0, when the consumer is given it."""
        self._on_taken = on_taken
        self._on_close = on_close
        self._waiting: deque[StreamedAnswer] = deque()
        self._taken_count = 0
        self._arrival: asyncio.Future[None] | None = None

    def add(self, answer: StreamedAnswer) -> None:
        """A response has come, or an error that ends the request; what comes after the final one is for nobody."""
        self._waiting.append(answer)
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def next(self) -> StreamedAnswer:
        """The next response, as soon as it is here. For one consumer."""
        while not self._waiting:
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        answer = self._waiting.popleft()
        self._on_taken(self._taken_count)
        self._taken_count += 1
        return answer

    def close(self) -> None:
        """The consumer takes no more: cancels the request unless it is over. Idempotent."""
        self._on_close()
