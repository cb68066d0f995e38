"""What the scheduler does about it. Plain values, so that tests compare exact lists."""

from __future__ import annotations

from typing import Literal, NamedTuple

from shoal.core.errors import ShoalError, Unavailable
from shoal.core.messages import InferRequest, InferResponse, Message, RequestKey, Timings
from shoal.scheduler.batches import VersionKey
from shoal.scheduler.queued_request import QueuedRequest, RequestPart

#: Why a batch was sent when it was sent:
#: `full`: nothing more fits (`max_batch_size`, or the largest preferred size); `preferred size`: it reached one;
#: `delay expired`: its oldest request waited for `max_queue_delay_microseconds`; `instance idle`: an instance was
#: free and nothing says to wait; `shape change`: the next request cannot go with these; `deadline`: waiting out the
#: delay would have cost a member its client's deadline; `retry alone`: it may be what ended its executor (see `alone`).
BatchReason = Literal[
    "full", "preferred size", "delay expired", "instance idle", "shape change", "deadline", "retry alone"
]


class DispatchItem(NamedTuple):
    """One request of a batch, the microseconds that it has been with the scheduler, and how many executions of it have
    ended with their executor."""

    key: RequestKey
    part: RequestPart
    queue_us: int
    deaths: int


class Dispatch(NamedTuple):
    """Send these requests, in this order, as one batch of our epoch to an instance."""

    executor: str
    slot: int
    batch_id: int
    reason: BatchReason
    items: tuple[DispatchItem, ...]


class Refuse(NamedTuple):
    """Answer a request with an error `(code, text)` instead of a result.

    `queue_ns` is 0 when it was never accepted (Triton counts no failure then) and at least 1 when it was. `executed`
    is True when an execution was begun for it, one that ended with its executor.
    """

    key: RequestKey
    error: tuple[int, str]
    queue_ns: int
    executed: bool


class Tell(NamedTuple):
    """Send a message without a payload to the process `to`."""

    to: str
    message: Message


class Answer(NamedTuple):
    """Answer an ensemble request, or one response of it; the outputs that are no references follow as buffers."""

    to: str
    message: InferResponse
    buffers: tuple[memoryview | bytes, ...]


class CountAnswer(NamedTuple):
    """Count the answer to a step of an ensemble, whose submitter we are, for the version that gave it."""

    key: VersionKey
    is_ensemble: bool
    response: InferResponse
    elapsed_ns: int


class CountExecution(NamedTuple):
    """Count a request of an ensemble as its execution; the times are the sums of its steps'."""

    key: VersionKey
    batch_size: int
    timings: Timings


class SetTimer(NamedTuple):
    """Come back with `TimerFired` at this time; it replaces the timer set before."""

    at_ns: int


class Fault(NamedTuple):
    """An event of this kind was not dealt with, at least not wholly, because of an error of ours: to be logged."""

    event: str
    error: Exception


Action = Dispatch | Refuse | Tell | Answer | CountAnswer | CountExecution | SetTimer | Fault


def refuse_new(key: RequestKey, error: ShoalError) -> Refuse:
    """The refusal of a request that was never accepted."""
    return Refuse(key, error.to_wire(), 0, False)


def refuse_full(request: InferRequest) -> Refuse:
    """The refusal of a request for which there is no room, in Triton's words."""
    text = f"[request id: {request.request_id or '<id_unknown>'}] Exceeds maximum queue size"
    return refuse_new(request.key, Unavailable(text))


def refuse_queued(entry: QueuedRequest, error: ShoalError, now: int) -> Refuse:
    """The refusal of a request that was accepted before."""
    return Refuse(entry.key, error.to_wire(), max(1, now - entry.arrived_ns), bool(entry.deaths))
