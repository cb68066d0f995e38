"""What one gateway knows of the state that all gateways share, and what it has seen replaced. Pure; `now` is any
monotonic clock in seconds.

Within one life of the bucket the last write counts. When the bucket was lost, everybody writes again what it knew, and
somebody may have missed the last changes: a writing that was seen replaced or deleted before is old when it comes
back, whoever wrote it again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from shoal.core.stamped import Stamped

#: A writing that was replaced is recognised for this long; who has not heard of a change by then was cut off for longer
#: than a lost bucket takes to be written again.
REMEMBERED_S = 120.0
#: So many replaced writings are remembered at most, the latest ones.
REMEMBERED_COUNT = 8192

Verdict = Literal["news", "known", "old"]


class SharedEntries:
    """Entries by key. `take` and `drop` are the doors of change."""

    def __init__(self) -> None:
        self._known: dict[str, Stamped] = {}
        #: Stamps of replaced writings, oldest first, with the time of the replacement.
        self._replaced: dict[bytes, float] = {}

    def __getitem__(self, key: str) -> Stamped | None:
        """What counts for this key; None: it has no value."""
        return self._known.get(key)

    def keys(self) -> Iterator[str]:
        """Keys that have a value. A snapshot."""
        return iter(tuple(self._known))

    def take(self, key: str, entry: Stamped, now: float) -> Verdict:
        """Take in what stands in the bucket. "old": it does not count, `self[key]` should stand there."""
        known = self._known.get(key)
        if known is not None and known.stamp == entry.stamp:
            return "known"
        self._forget(now)
        if entry.stamp in self._replaced:
            return "old"
        self._replace(known, now)
        self._known[key] = entry
        return "news"

    def drop(self, key: str, now: float) -> Verdict:
        """Take in that the key was deleted."""
        known = self._known.pop(key, None)
        self._forget(now)
        self._replace(known, now)
        return "known" if known is None else "news"

    def _replace(self, known: Stamped | None, now: float) -> None:
        if known is not None:
            self._replaced[known.stamp] = now

    def _forget(self, now: float) -> None:
        while self._replaced:
            stamp, at = next(iter(self._replaced.items()))
            if now - at < REMEMBERED_S and len(self._replaced) < REMEMBERED_COUNT:
                return
            del self._replaced[stamp]
