"""The times at which somebody wants to be looked at, and the one timer that the shell keeps for all of them."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

from shoal.scheduler.actions import SetTimer

K = TypeVar("K")

#: Times that an earlier one took the place of are dropped when they outnumber the others by this.
_HEAP_SLACK = 64


class Timers(Generic[K]):
    """At most one time per target, the earliest asked for. Looking too early is harmless, so nothing is taken back."""

    def __init__(self) -> None:
        self._at: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._count = 0
        self._set_ns: int | None = None

    def __len__(self) -> int:
        """How many times are held, those that do not count any more included."""
        return len(self._heap)

    def ask(self, target: K, at_ns: int) -> None:
        """`due` shall name this target at that time, or before."""
        before_ns = self._at.get(target)
        if before_ns is not None and before_ns <= at_ns:
            return
        self._at[target] = at_ns
        self._count += 1
        heapq.heappush(self._heap, (at_ns, self._count, target))
        if len(self._heap) > 2 * len(self._at) + _HEAP_SLACK:
            self._heap = [(at, number, known) for number, (known, at) in enumerate(self._at.items())]
            heapq.heapify(self._heap)

    def due(self, now: int) -> list[K]:
        """The targets whose time has come, each once; the shell's timer has fired."""
        self._set_ns = None
        found: list[K] = []
        while self._heap and self._heap[0][0] <= now:
            at_ns, _, target = heapq.heappop(self._heap)
            if self._at.get(target) == at_ns:
                del self._at[target]
                found.append(target)
        return found

    def change(self) -> SetTimer | None:
        """The timer that the shell has to set now, None when the one that it has will do."""
        if not self._heap:
            return None
        at_ns = self._heap[0][0]
        if self._set_ns is not None and self._set_ns <= at_ns:
            return None
        self._set_ns = at_ns
        return SetTimer(at_ns)
