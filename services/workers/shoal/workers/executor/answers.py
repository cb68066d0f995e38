"""From a result to the message that a submitter gets, and the answers that are kept for a while afterwards."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from shoal.core import encoding
from shoal.core.errors import InternalError, ShoalError, Unavailable
from shoal.core.messages import NO_TIMINGS, V1, InferResponse, RequestKey, Timings
from shoal.workers.error_text import wire_error
from shoal.workers.executor.execution import Result

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


def answer(result: Result) -> Answer:
    """The only answer of a request: its error, or its outputs. Copies no tensor."""
    counter, (outputs, given, error) = result.item.header.counter, result.answered
    if error is not None:
        return failure(counter, error, result.executed, result.timings)
    parameters = dict(given)
    message = InferResponse(V1, counter, 0, True, result.executed, None, outputs.headers, parameters, result.timings)
    generation = None if outputs.block is None else outputs.block.generation
    try:
        return Answer(encoding.encode(message), tuple(outputs.buffers), generation)
    except (TypeError, ValueError, OverflowError) as error:
        # Parameters of types that cannot travel, made by a backend that is not ours.
        return failure(counter, InternalError(f"the response cannot be sent: {error}"), result.executed, result.timings)


def lost(counter: int) -> Answer:
    """What a submitter is told whose answer was given and is not kept any more."""
    error = Unavailable("the model was executed, but its answer was lost on the way and is no longer kept")
    return failure(counter, error, True, NO_TIMINGS)


def failure(counter: int, error: ShoalError, executed: bool, timings: Timings) -> Answer:
    """The answer that is this error."""
    message = InferResponse(V1, counter, 0, True, executed, wire_error(error), (), {}, timings)
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
