"""One request inside an executor: what came, when, until when, and whether anybody still waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

from shoal.core import encoding
from shoal.core.errors import Cancelled, ShoalError, Unavailable
from shoal.core.messages import Batch, InferRequest, RequestKey
from shoal.core.tensors import ArenaRef, Tensor, no_memory, resolve
from shoal.memory import Gone
from shoal.workers.backend import Request
from shoal.workers.executor.course import Course, OpenStream
from shoal.workers.executor.stream import Stream

_INFER_REQUEST, _ = encoding.SCHEMA[InferRequest]

#: Gives the bytes that a reference stands for; raises Gone.
View = Callable[[ArenaRef], memoryview]


class Item:
    """A decoded request. `cancel` is called by the loop's thread, `let_go` by the instance's; everything else may be
    read from any thread. `course` is that of the batch, and `stream` is there once a sender was asked for.

    `request` holds views of the batch message, which stays alive as long as the item does, and of shared memory until
    `let_go` (`is_borrowed`: of that too). Times are readings of `time.monotonic_ns()`; `deadline_ns` is None without a
    deadline.
    """

    __slots__ = (
        "_unreadable",
        "arrived_ns",
        "course",
        "deadline_ns",
        "header",
        "is_borrowed",
        "is_dropped",
        "key",
        "queue_ns",
        "request",
        "stream",
    )

    def __init__(
        self,
        header: InferRequest,
        payload: memoryview,
        queue_us: int,
        now_ns: int,
        *,
        view: View,
        course: Course,
    ) -> None:
        self._unreadable: ShoalError | None = None
        self.course = course
        self.stream: Stream | None = None
        self.header = header
        self.key: RequestKey = header.key
        self.arrived_ns = now_ns
        self.queue_ns = queue_us * 1000
        self.deadline_ns = None if header.deadline_us is None else now_ns + (header.deadline_us - queue_us) * 1000
        self.is_dropped = False
        inputs, self.is_borrowed = self._read(payload, view)
        self.request = Request(
            header.request_id,
            header.correlation_id,
            header.flags,
            header.priority,
            header.timeout_us,
            header.batch_size,
            inputs,
            header.outputs,
            header.parameters,
            header.traceparent,
            self.is_cancelled,
            self.open_sender,
            self.is_borrowed,
        )

    def let_go(self) -> None:
        """Drop the inputs: the request was executed, and the model may keep what refers to this item."""
        self.request = self.request._replace(inputs=())

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self.is_dropped = True
        if self.stream is not None:
            self.stream.drop()

    def open_sender(self) -> Stream:
        """The sender of this request. Raises SenderClosed when it is not being executed."""
        stream = self.course.open(self)
        if self.is_dropped:
            stream.drop()
        return stream

    def is_cancelled(self) -> bool:
        return self.is_dropped or (self.deadline_ns is not None and time.monotonic_ns() >= self.deadline_ns)

    def waited_ns(self, now_ns: int) -> int:
        """Time in queues: with the scheduler and here."""
        return self.queue_ns + now_ns - self.arrived_ns

    def refusal(self, now_ns: int) -> ShoalError | None:
        """Why an item whose turn has come is not to be executed any more; None when it is."""
        if self.is_dropped:
            return Cancelled("")
        if self._unreadable is not None:
            return self._unreadable
        if self.deadline_ns is None or now_ns < self.deadline_ns:
            return None
        deadline_ms = (self.header.deadline_us or 0) / 1000
        return Unavailable(
            f"deadline of {deadline_ms:.0f} ms passed after {self.waited_ns(now_ns) / 1e6:.0f} ms in the queue of "
            f"'{self.header.model}'; the request was not started"
        )

    def _read(self, payload: memoryview, view: View) -> tuple[tuple[Tensor, ...], bool]:
        """The inputs, and whether some lie in shared memory; none when one of them cannot be read."""
        header = self.header
        inputs: list[Tensor] = []
        is_borrowed = False
        for tensor in header.inputs:
            try:
                inputs.append(resolve(tensor, payload, view))
            except Gone as gone:
                self._unreadable = Unavailable(
                    f"model '{header.model}', input '{tensor.name}': its {tensor.ref.nbytes} bytes of shared memory "
                    f"cannot be read: {gone.message}"
                )
                return (), False
            if isinstance(tensor.ref, ArenaRef):
                is_borrowed = True
        return tuple(inputs), is_borrowed


def decode_items(
    batch: Batch, payload: memoryview, now_ns: int, open_stream: OpenStream, view: View = no_memory
) -> list[Item]:
    """The requests of a batch, in its order; one whose inputs cannot be read is refused when its turn comes.

    Raises InternalError when a header is of another release.
    """
    items: list[Item] = []
    course = Course(open_stream)
    end = 0
    for part in batch.items:
        start, body = end, end + part.header_nbytes
        end = body + part.payload_nbytes
        header = cast(InferRequest, encoding.decode(_INFER_REQUEST, payload[start:body]))
        items.append(Item(header, payload[body:end], part.queue_us, now_ns, view=view, course=course))
    return items
