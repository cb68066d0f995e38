"""When open requests are to be given up. Pure; times are readings of one monotonic clock, in seconds."""

from __future__ import annotations

import heapq
from collections.abc import Collection

#: Times of closed requests are dropped when they outnumber the open requests by this.
_SLACK = 1024


class Deadlines:
    """Requests by the time that they are given up at. `watch` and `passed` are the doors of change."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        """How many times are held, those of some closed requests included."""
        return len(self._heap)

    def watch(self, at: float, counter: int, still_open: Collection[int]) -> None:
        """Give this request up at that time. `still_open`: the requests whose times still matter."""
        heapq.heappush(self._heap, (at, counter))
        if len(self._heap) > 2 * len(still_open) + _SLACK:
            # Most requests are answered long before their time.
            self._heap = [known for known in self._heap if known[1] in still_open]
            heapq.heapify(self._heap)

    def passed(self, now: float) -> list[int]:
        """Take out the requests whose time has come, closed ones among them."""
        counters: list[int] = []
        while self._heap and self._heap[0][0] <= now:
            counters.append(heapq.heappop(self._heap)[1])
        return counters
