"""Where the executors are: the answers of an ensemble's steps may lie in shared memory only if all can map it."""

from __future__ import annotations


class Hosts:
    """Hosts by executor; `put` is the only door of change."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._all: frozenset[str] = frozenset()

    def put(self, executor: str, host: str | None) -> None:
        """An executor beats on this host; None: it has left."""
        if host is None:
            self._of.pop(executor, None)
        else:
            self._of[executor] = host
        self._all = frozenset(self._of.values())

    def are_only(self, host: str) -> bool:
        """Whether every executor that is known is on this host."""
        return self._all == {host}
