"""Requests for a model or generation that is not known here yet: the gateway's view may be ahead of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shoal.core.messages import RequestKey
from shoal.scheduler.events import Arrival

#: Views differ by milliseconds; what is still unknown after this does not exist.
AWAIT_NS = 1_000_000_000
AWAITED_LIMIT = 65_536


class Awaited(NamedTuple):
    arrival: Arrival
    arrived_ns: int


class AwaitedRequests:
    """In order of arrival. `add`, `remove`, `take` and `expire` are the doors of change."""

    def __init__(self) -> None:
        self._waiting: dict[RequestKey, Awaited] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: RequestKey) -> bool:
        return key in self._waiting

    def waiting(self) -> tuple[RequestKey, ...]:
        return tuple(self._waiting)

    def arrivals_ns(self) -> Iterator[int]:
        return (found.arrived_ns for found in self._waiting.values())

    def add(self, key: RequestKey, arrival: Arrival, arrived_ns: int) -> bool:
        """False when too many wait already."""
        if len(self._waiting) >= AWAITED_LIMIT:
            return False
        self._waiting[key] = Awaited(arrival, arrived_ns)
        return True

    def remove(self, key: RequestKey) -> Awaited | None:
        return self._waiting.pop(key, None)

    def take(self, model: str) -> list[Awaited]:
        """Take out everything that waits for this model."""
        keys = [key for key, found in self._waiting.items() if found.arrival.request.model == model]
        return [self._waiting.pop(key) for key in keys]

    def take_all(self) -> list[Awaited]:
        taken = list(self._waiting.values())
        self._waiting.clear()
        return taken

    def expire(self, now: int) -> list[Awaited]:
        """Take out what has waited in vain."""
        late: list[Awaited] = []
        while self._waiting:
            key = next(iter(self._waiting))
            if self._waiting[key].arrived_ns + AWAIT_NS > now:
                break
            late.append(self._waiting.pop(key))
        return late

    @property
    def next_expiry_ns(self) -> int | None:
        for found in self._waiting.values():
            return found.arrived_ns + AWAIT_NS
        return None
