"""Which executor finished a request, for submitters that still wait for its answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from shoal.core.messages import RequestKey

#: Half of the finished requests that are remembered. Submitters ask after seconds, so this covers them at any rate
#: that one scheduler reaches; 200 bytes each.
FINISHED_LIMIT = 65_536
#: Executors known to be dead; a dead one's answers are lost when they have not arrived.
DEAD_LIMIT = 4096


class FinishedRequests:
    """Who executed a request: the newest 65,536 at least, twice as many at most. Two maps instead of one that evicts,
    because this is written for every request and read hardly ever."""

    def __init__(self, limit: int = FINISHED_LIMIT) -> None:
        self._limit = limit
        self._newer: dict[RequestKey, str] = {}
        self._older: dict[RequestKey, str] = {}
        self._dead: OrderedDict[str, None] = OrderedDict()

    def add(self, keys: Iterable[RequestKey], executor: str) -> None:
        newer = self._newer
        for key in keys:
            newer[key] = executor
        if len(newer) >= self._limit:
            self._older, self._newer = newer, {}

    def executor_of(self, key: RequestKey) -> str | None:
        """The executor that answered a request, None for one that is not known to be finished."""
        return self._newer.get(key) or self._older.get(key)

    def of(self, executor: str) -> list[RequestKey]:
        """The requests that an executor answered, or is answering still; in a time in proportion to all."""
        return [key for keys in (self._older, self._newer) for key, who in keys.items() if who == executor]

    def executor_died(self, executor: str) -> None:
        self._dead[executor] = None
        if len(self._dead) > DEAD_LIMIT:
            self._dead.popitem(last=False)

    def executor_lives(self, executor: str) -> None:
        """An executor that was taken for dead is heard of again, and with it what it keeps."""
        self._dead.pop(executor, None)

    def is_dead(self, executor: str) -> bool:
        return executor in self._dead
