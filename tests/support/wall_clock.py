"""A clock for tests, which goes on only when it is told to."""

from __future__ import annotations


class WallClock:
    """Unix seconds, from 1000."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
