"""How long has each slot of an executor been executing, by the board and as far as the agent could see? Pure.

Time in which the agent did not run does not count: what stopped the agent may have stopped the execution.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal.workers.board import Row


class ExecutionClock:
    """The running executions of one executor, looked at once per check."""

    def __init__(self) -> None:
        #: By slot: when the running execution began, which names it, and what of the time since then does not count.
        self._running: dict[int, tuple[int, int]] = {}

    def look(self, rows: Mapping[int, Row], missed_ns: int) -> None:
        """Take in the board; `missed_ns` is how long nobody has looked beyond the usual interval."""
        running: dict[int, tuple[int, int]] = {}
        for slot, row in rows.items():
            if row.is_executing:
                since_ns, uncounted_ns = self._running.get(slot, (0, 0))
                running[slot] = (row.since_ns, missed_ns + (uncounted_ns if since_ns == row.since_ns else 0))
        self._running = running

    def overdue(self, timeouts_s: Mapping[int, float], now_ns: int) -> tuple[int, ...]:
        """The slots that have been executing for longer than their timeout; `now_ns` is `time.monotonic_ns()`."""
        return tuple(
            slot
            for slot, (since_ns, uncounted_ns) in self._running.items()
            if slot in timeouts_s and now_ns - since_ns - uncounted_ns > timeouts_s[slot] * 1e9
        )
