"""One request while it waits."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from shoal.core.messages import InferRequest, RequestKey
from shoal.core.tensors import Inline

#: The most bytes of requests that go into one batch: a message holds 1 GiB, and the batch names each of its requests.
BATCH_LIMIT_NBYTES = (1 << 30) - (1 << 20)


class RequestPart(Protocol):
    """The bytes a request came as: its encoded header and its payload. They are forwarded, never decoded."""

    @property
    def header(self) -> memoryview: ...

    @property
    def payload(self) -> memoryview: ...


class QueuedRequest(NamedTuple):
    """A request that was accepted. `size` is its share of `max_batch_size`: its batch size, 1 for a model without.

    `deadline_ns` is the client's deadline on our clock, None without one. `deaths` tells, for each execution that
    ended with its executor, why that one ended; `losses` counts the batches that it was in and that never started
    without anybody knowing why. `in_arena`: inputs of it lie in shared memory, and its submitter has to be told when
    nobody reads them any more.
    """

    key: RequestKey
    request: InferRequest
    part: RequestPart
    size: int
    arrived_ns: int
    deadline_ns: int | None
    deaths: tuple[str, ...]
    losses: int
    in_arena: bool

    @property
    def is_suspect(self) -> bool:
        """Whether it may be what others suffer from: it is tried again alone."""
        return bool(self.deaths) or self.losses > 1

    @property
    def nbytes(self) -> int:
        """What it adds to a batch's message."""
        return len(self.part.header) + len(self.part.payload)


def accept(key: RequestKey, request: InferRequest, part: RequestPart, now: int) -> QueuedRequest:
    """The request as it is queued at `now` (nanoseconds), from where its deadline counts."""
    left_us = request.deadline_us
    deadline_ns = None if left_us is None else now + left_us * 1000
    in_arena = False
    for header in request.inputs:
        if type(header.ref) is not Inline:
            in_arena = True
    return QueuedRequest(key, request, part, request.batch_size or 1, now, deadline_ns, request.deaths, 0, in_arena)
