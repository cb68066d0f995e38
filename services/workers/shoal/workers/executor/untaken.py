"""The responses of one request that its submitter has not taken, oldest first: what may have to be sent again. Pure;
times are seconds of any monotonic clock.

What is lost without a trace, be it a response or the news that it was taken, is found out by a probe, the newest
response sent again: the submitter tells then what it has, or asks for what is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shoal.core.errors import Unavailable
from shoal.core.messages import NO_TIMINGS
from shoal.workers.executor.answers import Answer, Place, failure

#: How long nothing was sent or taken until a probe is sent.
PROBE_S = 5.0


class _Response(NamedTuple):
    place: Place
    nbytes: int
    answer: Answer


class Untaken:
    """`add`, `taken`, `probe` and `released` are the doors of change; sizes are bytes of outputs."""

    def __init__(self) -> None:
        self._responses: deque[_Response] = deque()
        self._moved_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._responses)

    def __iter__(self) -> Iterator[Answer]:
        return (response.answer for response in self._responses)

    @property
    def is_complete(self) -> bool:
        """Whether the final one is among them."""
        return bool(self._responses) and self._responses[-1].place.final

    def add(self, place: Place, nbytes: int, answer: Answer, now: float) -> None:
        """Keep the next response, which was sent."""
        self._responses.append(_Response(place, nbytes, answer))
        self._moved_at = now

    def probe(self, now: float) -> Answer | None:
        """What is to be sent again, if it is time."""
        if not self._responses or now - self._moved_at < PROBE_S:
            return None
        self._moved_at = now
        return self._responses[-1].answer

    def taken(self, index: int, now: float) -> tuple[int, int]:
        """Forget the responses up to this index; how many they were, and of how many bytes."""
        self._moved_at = now
        count, nbytes = 0, 0
        while self._responses and self._responses[0].place.number <= index:
            count += 1
            nbytes += self._responses.popleft().nbytes
        return count, nbytes

    def released(self, counter: int, generations: Iterable[int]) -> None:
        """These blocks are used for something else now. Their responses were read, or nobody wanted them: sent again,
        they are an end that says so, which is dropped where they were read."""
        gone = set(generations)
        error = Unavailable("the model was executed, but a response was lost on the way and is no longer kept")
        self._responses = deque(
            response._replace(answer=failure(counter, error, True, NO_TIMINGS, response.place._replace(final=True)))
            if response.answer.generation in gone
            else response
            for response in self._responses
        )
