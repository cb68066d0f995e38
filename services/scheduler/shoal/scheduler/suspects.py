"""The requests of one model version that are tried again alone, apart from its queue so that no batch gets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shoal.core.messages import RequestKey
from shoal.scheduler.queue import Expired
from shoal.scheduler.queued_request import QueuedRequest


class Suspects:
    """In order of arrival, whatever their priority; they have used up their queue policy's timeout, so that they leave
    at their client's deadline only. No more than executors have held at a time: all were in a batch already."""

    def __init__(self) -> None:
        self._waiting: dict[RequestKey, QueuedRequest] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[QueuedRequest]:
        """Everything that waits, in order. Nothing may be changed meanwhile."""
        return iter(self._waiting.values())

    @property
    def next_deadline_ns(self) -> int | None:
        return min((e.deadline_ns for e in self._waiting.values() if e.deadline_ns is not None), default=None)

    def add(self, entries: Iterable[QueuedRequest]) -> None:
        known = [*self._waiting.values(), *entries]
        self._waiting = {entry.key: entry for entry in sorted(known, key=_age)}

    def take(self) -> QueuedRequest:
        """The one that has waited for longest; there must be one."""
        return self._waiting.pop(next(iter(self._waiting)))

    def remove(self, key: RequestKey) -> QueuedRequest | None:
        return self._waiting.pop(key, None)

    def expire(self, now: int) -> list[Expired]:
        """Take out those whose client's deadline has passed."""
        late = [e for e in self._waiting.values() if e.deadline_ns is not None and e.deadline_ns <= now]
        for entry in late:
            del self._waiting[entry.key]
        return [Expired(entry, "deadline") for entry in late]


def _age(entry: QueuedRequest) -> tuple[int, RequestKey]:
    return entry.arrived_ns, entry.key
