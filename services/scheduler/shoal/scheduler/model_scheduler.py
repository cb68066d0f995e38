"""What every way of scheduling one model version has in common: a queue, and the decision what to send next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shoal.core.messages import RequestKey
from shoal.core.model_config import DynamicBatching, ModelConfig
from shoal.scheduler.actions import BatchReason
from shoal.scheduler.queue import Expired, PriorityQueue
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.suspects import Suspects


class Decision(NamedTuple):
    """Either a batch to be sent now, with its reason; its members have left the queue. Or, with reason None, nothing:
    then `wake_ns` is when to ask again although nothing happened, None for never."""

    reason: BatchReason | None
    members: tuple[QueuedRequest, ...]
    wake_ns: int | None


NOTHING = Decision(None, (), None)


class ModelScheduler(ABC):
    """Schedules one model version: single-threaded, without a clock; `now` is nanoseconds of one monotonic clock.

    Subclasses say what is sent next; `_reset` tells them that the queue changed elsewhere than at its end.
    """

    def __init__(self, config: ModelConfig, batching: DynamicBatching) -> None:
        self.config = config
        #: Whether a batch may only be sent when the one before is done, so that answers cannot overtake each other:
        #: they go from the executors straight to the submitters.
        self.preserves_order = batching.preserve_ordering
        #: What waits; to be read only, the methods here change it.
        self.queue = PriorityQueue(batching)
        #: What goes before all of that, each alone; see `alone`.
        self.suspects = Suspects()

    @property
    def waiting_count(self) -> int:
        return self.queue.size + len(self.suspects)

    def waiting(self) -> Iterator[QueuedRequest]:
        """Everything that waits, in order. Nothing may be changed meanwhile."""
        yield from self.suspects
        yield from self.queue

    def enqueue(self, entry: QueuedRequest, now: int) -> bool:
        """Accept a request; False when its queue is full."""
        return self.queue.push(entry, now)

    def requeue(self, entries: Iterable[QueuedRequest]) -> None:
        """Take requests back in front of all others, in their order; their batch never ran, or ended with its
        executor."""
        back = list(entries)
        self.suspects.add(entry for entry in back if entry.is_suspect)
        self.queue.push_front(entry for entry in back if not entry.is_suspect)
        self._reset()

    def remove(self, key: RequestKey) -> QueuedRequest | None:
        """Take a request out; None when it does not wait here."""
        entry = self.queue.remove(key)
        if entry is None:
            return self.suspects.remove(key)
        self._reset()
        return entry

    def expire(self, now: int) -> list[Expired]:
        """Take out the requests that have waited too long."""
        refused, reordered = self.queue.expire(now)
        if refused or reordered:
            self._reset()
        return self.suspects.expire(now) + refused

    @abstractmethod
    def next_batch(self, now: int) -> Decision:
        """What to send, an instance being free; `expire` has been called for this `now`."""

    @abstractmethod
    def executions(self, entries: Iterable[QueuedRequest]) -> int:
        """How many executions these waiting requests, none of them a suspect, make at least."""

    def _reset(self) -> None:  # noqa: B027 - there is nothing to do for a scheduler that remembers nothing
        """The queue changed elsewhere than at its end."""
