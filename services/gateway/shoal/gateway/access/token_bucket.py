"""A rate with a burst: tokens flow in at a steady rate up to a limit, each request takes one out."""

from __future__ import annotations


class TokenBucket:
    """Full at the start. Times are readings of one monotonic clock, in seconds."""

    __slots__ = ("_burst", "_per_second", "_read_at", "_tokens")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        """`per_second` above 0, `burst` 1 or more."""
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._read_at = now

    def take(self, now: float) -> float:
        """Take one token; 0.0 when there was one, otherwise nothing is taken: the seconds until there is."""
        self._tokens = min(self._burst, self._tokens + (now - self._read_at) * self._per_second)
        self._read_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self._per_second

    def put_back(self) -> None:
        """Undo a `take`: the request did not go on."""
        self._tokens = min(self._burst, self._tokens + 1)
