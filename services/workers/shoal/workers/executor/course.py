"""One execution of one batch: while it lasts senders may be opened, and what is answered meanwhile needs its times."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

from shoal.core.messages import InferRequest, Timings
from shoal.workers.backend import SenderClosed

if TYPE_CHECKING:
    from shoal.workers.executor.stream import Stream

#: Held while a stream is opened, which models do from any thread.
_opening = threading.Lock()


class OpenStream(Protocol):
    """Makes the stream of a request that has waited for so long."""

    def __call__(self, header: InferRequest, queue_ns: int, course: Course) -> Stream: ...


class Course:
    """Shared by the items of a batch. `begin`, `close` and `end` are called by the instance's thread, once each, and
    everything else by any. Times are readings of `time.monotonic_ns()`, durations nanoseconds."""

    __slots__ = ("_called_ns", "_is_open", "_open_stream", "_stages_ns", "_start_ns")

    def __init__(self, open_stream: OpenStream) -> None:
        self._open_stream = open_stream
        self._is_open = False
        self._start_ns = self._called_ns = 0
        self._stages_ns: tuple[int, int, int] | None = None

    def begin(self, start_ns: int, called_ns: int) -> None:
        """The batch's turn came, and the backend is called."""
        self._start_ns = start_ns
        self._called_ns = called_ns
        self._is_open = True

    def close(self) -> None:
        """The backend has returned: no more senders are opened."""
        with _opening:
            self._is_open = False

    def end(self, input_ns: int, infer_ns: int, output_ns: int) -> None:
        """The execution is over; it took this long."""
        self._stages_ns = input_ns, infer_ns, output_ns

    def open(self, item: Opening) -> Stream:
        """The stream of an item, the same at each call. Raises SenderClosed when it is not being executed."""
        with _opening:
            if item.stream is None:
                if not self._is_open:
                    raise SenderClosed("a sender can be had during the execution only")
                item.stream = self._open_stream(item.header, item.waited_ns(self._start_ns), self)
            return item.stream

    def timings(self, queue_ns: int, sent_ns: int) -> Timings:
        """For a response that was given at `sent_ns`: the execution's, or what has passed of it."""
        if self._stages_ns is not None:
            return Timings(queue_ns, *self._stages_ns)
        output_ns = time.monotonic_ns() - sent_ns
        return Timings(queue_ns, self._called_ns - self._start_ns, sent_ns - self._called_ns, output_ns)


class Opening(Protocol):
    """An item, as far as it matters here."""

    header: InferRequest
    stream: Stream | None

    def waited_ns(self, now_ns: int) -> int: ...
