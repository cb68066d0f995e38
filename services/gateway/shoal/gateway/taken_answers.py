"""Tells who answers which responses were taken: all of one turn of the event loop in one message."""

from __future__ import annotations

import asyncio

from shoal.bus import Bus
from shoal.core.messages import V1, Taken


class TakenAnswers:
    """Of several responses to one request the last one counts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._gathered: dict[str, dict[int, int]] = {}

    def add(self, to: str, counter: int, index: int) -> None:
        """Tell at the end of this turn that the responses up to `index` were taken."""
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self._send)
        taken = self._gathered.setdefault(to, {})
        taken[counter] = max(index, taken.get(counter, index))

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for to, taken in gathered.items():
            self._bus.send(to, Taken(V1, tuple(taken.items())))
