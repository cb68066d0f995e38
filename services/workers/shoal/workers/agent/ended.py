"""The executors that ended lately, for the agent's heartbeats. Pure."""

from __future__ import annotations

from collections import deque

from shoal.core.messages import EndedExecutor

#: How long each is told of: whoever missed a heartbeat hears of it in the next ones.
TOLD_FOR_S = 10.0
#: More than a worker has executors; with back-off none ends often.
_LIMIT = 1024


class EndedExecutors:
    """`note` when one has ended, `recent` at each heartbeat; times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, EndedExecutor]] = deque(maxlen=_LIMIT)

    def note(self, ended: EndedExecutor, now: float) -> None:
        self._ended.append((now, ended))

    def recent(self, now: float) -> tuple[EndedExecutor, ...]:
        while self._ended and now - self._ended[0][0] > TOLD_FOR_S:
            self._ended.popleft()
        return tuple(ended for _, ended in self._ended)
