"""Shared-memory segments whose owner has died are removed: the agent sees executors die, and lives on this host."""

from __future__ import annotations

import asyncio

from shoal.memory.sweep import GRACE_S, sweep
from shoal.telemetry.logs import get_logger

#: Without any death seen here: those of others, whose supervisor may have died with them.
SWEEP_INTERVAL_S = 30.0
#: From a death to the sweep that finds its segments: those of the newly dead are left alone for a while.
_SWEEP_AFTER_S = GRACE_S + 1.0

_log = get_logger("agent")


class SegmentSweeper:
    """`run` sweeps now and then, and a little after each `expect_dead`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due_at = self._loop.time()
        self._changed = asyncio.Event()

    def expect_dead(self) -> None:
        """An owner of segments has just died."""
        due_at = self._loop.time() + _SWEEP_AFTER_S
        if due_at < self._due_at:
            self._due_at = due_at
            self._changed.set()

    async def run(self) -> None:
        """Ends only by being cancelled."""
        while True:
            await self._until_due()
            self._due_at = self._loop.time() + SWEEP_INTERVAL_S
            try:
                removed = await asyncio.to_thread(sweep)
            except OSError as error:
                _log.warning("segments not swept", why=str(error))
                continue
            if removed:
                _log.info("segments of the dead removed", segments=len(removed))

    async def _until_due(self) -> None:
        while (remaining_s := self._due_at - self._loop.time()) > 0:
            self._changed.clear()
            waiting = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait({waiting}, timeout=remaining_s)
            waiting.cancel()
