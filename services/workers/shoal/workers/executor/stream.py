"""One request that is answered by a sender: responses on their way from any thread to the loop's, at the pace at which
their submitter takes them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from shoal.core.errors import InternalError, ShoalError
from shoal.core.messages import NO_TIMINGS, InferRequest, RequestKey, Timings
from shoal.workers.backend import Response, SenderClosed
from shoal.workers.executor.answered import NO_RESPONSE, Answered, failed, placed
from shoal.workers.executor.answers import Answer, Place, answer
from shoal.workers.executor.course import Course
from shoal.workers.executor.host_memory import HostMemory

#: What a submitter may have left untaken when a further response is given.
CREDIT_COUNT = 16
CREDIT_NBYTES = 1024 * 1024
#: The count for event loops: a blocked one would stop the requests of other clients, and small responses take little.
LOOP_CREDIT_COUNT = 1024
#: A sender that waits looks up this often, should nobody wake it.
_LOOK_UP_S = 1.0


class Sent(NamedTuple):
    """A response that was given: `nbytes` of outputs, perhaps in the block with the generation `block`."""

    place: Place
    answer: Answer
    nbytes: int
    block: int | None


class Receiver(Protocol):
    """Who hears of responses, on the loop's thread, in their order."""

    def sent(self, stream: Stream, sent: Sent) -> None: ...
    def dropped(self, stream: Stream, block: int | None) -> None: ...
    def ended(self, stream: Stream) -> None: ...


class Stream:
    """A `Sender`; `let_go`, `end` and what a `Sender` has may be called from any thread, the others are the loop's."""

    def __init__(
        self,
        header: InferRequest,
        queue_ns: int,
        course: Course,
        *,
        memory: HostMemory,
        post: Callable[[Callable[[], None]], object],
        receiver: Receiver,
    ) -> None:
        """`post` hands a call over to the loop's thread, and neither blocks nor raises."""
        self.key: RequestKey = header.key
        self._header = header
        self._queue_ns = queue_ns
        self._course = course
        self._memory = memory
        self._post = post
        self._receiver = receiver
        self._room = threading.Condition()
        self._next_index = 0
        self._untaken_count = 0
        self._untaken_nbytes = 0
        self._is_closed = False
        self._is_dropped = False
        self._reads_inputs = True

    def send(self, response: Response | None, is_final: bool) -> None:
        if response is None and not is_final:
            raise InternalError("a sender needs a response, or the flag that it is the final one")
        has_response = response is not None and self._reserve()
        sent_ns = time.monotonic_ns()
        if response is None or not has_response:
            self._give(NO_RESPONSE, Place(0, is_final, True), sent_ns)
            return
        answered = placed(self._memory, self._header, response, is_borrowed=True)
        gone = self._memory.gone(self._header) if self._reads_inputs else None
        if gone is None:
            self._give(answered, Place(0, is_final, False), sent_ns)
        else:
            self._free(answered)
            self.end(gone)

    def fail(self, error: ShoalError) -> None:
        # Destructors run anywhere, in the middle of our own methods too: nothing here may take a lock.
        self._post(lambda: self.end(error))

    def end(self, error: ShoalError) -> None:
        """End the request with this error at once, if it has not ended."""
        with self._room:
            if not self._is_closed:
                # A failure counts as no inference, whatever it took.
                self._put(failed(error), Place(0, True, False), NO_TIMINGS._replace(queue_ns=self._queue_ns))

    def let_go(self) -> None:
        """Nothing refers to inputs in shared memory any more; the request fails when they were not there until now."""
        gone = self._memory.gone(self._header)
        self._reads_inputs = False
        if gone is not None:
            self.end(gone)

    @property
    def is_dropped(self) -> bool:
        return self._is_dropped

    def drop(self) -> None:
        """Nobody waits for the responses any more: they are given, and go nowhere."""
        with self._room:
            self._is_dropped = True
            self._room.notify_all()

    def taken(self, count: int, nbytes: int) -> None:
        """The submitter has taken responses, which makes room for others."""
        with self._room:
            self._untaken_count -= count
            self._untaken_nbytes -= nbytes
            self._room.notify_all()

    def _reserve(self) -> bool:
        """Wait until one more may be sent; False when it would go nowhere."""
        limit_count = LOOP_CREDIT_COUNT if _runs_event_loop() else CREDIT_COUNT
        with self._room:
            while not (self._is_closed or self._is_dropped):
                if self._untaken_count < limit_count and self._untaken_nbytes < CREDIT_NBYTES:
                    self._untaken_count += 1
                    return True
                self._room.wait(_LOOK_UP_S)
            return False

    def _give(self, answered: Answered, place: Place, sent_ns: int) -> None:
        with self._room:
            if self._is_closed:
                self._free(answered)
                raise SenderClosed("the request was answered finally before")
            self._put(answered, place, self._course.timings(self._queue_ns, sent_ns))

    def _put(self, answered: Answered, place: Place, timings: Timings) -> None:
        """Hand a response over to the loop, with its index; the lock is held, which keeps them in order."""
        self._is_closed = place.final
        block = answered.outputs.block
        generation = None if block is None else block.generation
        if self._is_dropped:
            self._post(lambda: self._receiver.dropped(self, generation))
        else:
            place = place._replace(number=self._next_index)
            self._next_index += 1
            given = answer(self._header.counter, answered, True, timings, place)
            nbytes = sum([header.ref.nbytes for header in answered.outputs.headers])
            self._untaken_nbytes += nbytes
            sent = Sent(place, given, nbytes, generation)
            self._post(lambda: self._receiver.sent(self, sent))
        if place.final:
            self._post(lambda: self._receiver.ended(self))

    def _free(self, answered: Answered) -> None:
        if answered.outputs.block is not None:
            self._memory.free(answered.outputs.block.generation)


def _runs_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
