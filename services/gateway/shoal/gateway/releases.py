"""Tells executors that blocks of their answers are not used here: all of one turn of the event loop in one message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from shoal.bus import Bus, Part
from shoal.core.messages import V1, HoldQuery, Release
from shoal.core.tensors import ArenaRef, TensorHeader


class Releases:
    """Outputs are copied when their answer comes, so nothing is in use between two turns: whatever an executor asks
    after is released. `open` before the bus starts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._gathered: dict[str, set[int]] = {}

    def open(self) -> None:
        self._bus.on(HoldQuery, self._on_hold_query)

    def add(self, executor: str, outputs: Iterable[TensorHeader]) -> None:
        """Release the blocks that these outputs of an executor's answer lie in, at the end of this turn."""
        for output in outputs:
            if isinstance(output.ref, ArenaRef):
                if not self._gathered:
                    asyncio.get_running_loop().call_soon(self._send)
                self._gathered.setdefault(executor, set()).add(output.ref.generation)

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for executor, generations in gathered.items():
            self._bus.send(executor, Release(V1, tuple(sorted(generations))))

    def _on_hold_query(self, sender: str, message: HoldQuery, part: Part) -> None:
        self._bus.send(sender, Release(V1, message.generations))
