"""From what a request is answered with to the message that its submitter gets, and the answers that are kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from shoal.core import encoding
from shoal.core.errors import InternalError, ShoalError, Unavailable
from shoal.core.messages import NO_TIMINGS, OUT_OF_ORDER, V2, InferResponse, RequestKey, Timings
from shoal.workers.error_text import wire_error
from shoal.workers.executor.answered import Answered

#: How long, how many and how much of the answers is kept for those who may ask again.
KEEP_S = 30.0
KEEP_COUNT = 4096
KEEP_BYTES = 64 * 1024 * 1024


class Answer(NamedTuple):
    """An encoded `InferResponse` and its payload; the buffers never change. `generation` is of the block that its large
    outputs lie in, None without one."""

    header: bytes
    buffers: tuple[memoryview | bytes, ...]
    generation: int | None = None

    @property
    def nbytes(self) -> int:
        return len(self.header) + sum(map(len, self.buffers))


class Place(NamedTuple):
    """Which of the responses to its request it is; see `InferResponse`."""

    number: int
    final: bool
    is_empty: bool


ONLY = Place(0, True, False)


def answer(counter: int, answered: Answered, executed: bool, timings: Timings, place: Place = ONLY) -> Answer:
    """A response to a request: its error, or its outputs. Copies no tensor."""
    outputs, given, error = answered
    if error is not None:
        return failure(counter, error, executed, timings, place)
    number, final, is_empty = place
    parameters = dict(given)
    message = InferResponse(V2, counter, number, final, executed, None, outputs.headers, parameters, timings, is_empty)
    generation = None if outputs.block is None else outputs.block.generation
    try:
        return Answer(encoding.encode(message), tuple(outputs.buffers), generation)
    except (TypeError, ValueError, OverflowError) as error:
        # Parameters of types that cannot travel, made by a backend that is not ours.
        cannot = InternalError(f"the response cannot be sent: {error}")
        return failure(counter, cannot, executed, timings, place)


def lost(counter: int) -> Answer:
    """What a submitter is told whose answer was given and is not kept any more."""
    error = Unavailable("the model was executed, but its answer was lost on the way and is no longer kept")
    return failure(counter, error, True, NO_TIMINGS, Place(OUT_OF_ORDER, True, False))


def failure(counter: int, error: ShoalError, executed: bool, timings: Timings, place: Place = ONLY) -> Answer:
    """The response that is this error."""
    number, final, _ = place
    message = InferResponse(V2, counter, number, final, executed, wire_error(error), (), {}, timings, False)
    return Answer(encoding.encode(message), ())


class _Kept(NamedTuple):
    answer: Answer
    nbytes: int
    until: float


class KeptAnswers:
    """Answers that were sent, by request, oldest first; those beyond the limits are forgotten. Blocks in shared memory
    do not count: they are there until they are released, whether the answer is kept or not. Times are seconds of any
    monotonic clock."""

    def __init__(self, keep_s: float = KEEP_S, limit_count: int = KEEP_COUNT, limit_bytes: int = KEEP_BYTES) -> None:
        self._keep_s = keep_s
        self._limit_count = limit_count
        self._limit_bytes = limit_bytes
        self._nbytes = 0
        self._kept: OrderedDict[RequestKey, _Kept] = OrderedDict()

    def keep(self, key: RequestKey, kept: Answer, now: float) -> None:
        """Keep an answer; it replaces an earlier one of the same request."""
        self._forget(key)
        entry = _Kept(kept, kept.nbytes, now + self._keep_s)
        self._kept[key] = entry
        self._nbytes += entry.nbytes
        self.expire(now)

    def find(self, key: RequestKey, now: float) -> Answer | None:
        entry = self._kept.get(key)
        return entry.answer if entry is not None and now < entry.until else None

    def forget(self, key: RequestKey, generation: int) -> None:
        """The block of this generation goes, and with it an answer that refers to it."""
        entry = self._kept.get(key)
        if entry is not None and entry.answer.generation == generation:
            self._forget(key)

    def keys(self, now: float) -> tuple[RequestKey, ...]:
        self.expire(now)
        return tuple(self._kept)

    def expire(self, now: float) -> None:
        """Forget what is too old or too much; to be called now and then, so that an idle executor gives memory back."""
        while self._kept:
            key, oldest = next(iter(self._kept.items()))
            within = len(self._kept) <= self._limit_count and self._nbytes <= self._limit_bytes
            if within and now < oldest.until:
                return
            self._forget(key)

    def _forget(self, key: RequestKey) -> None:
        entry = self._kept.pop(key, None)
        if entry is not None:
            self._nbytes -= entry.nbytes
