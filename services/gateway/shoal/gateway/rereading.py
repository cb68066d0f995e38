"""Reading a view again before something is denied: often asked for, seldom done."""

from __future__ import annotations

import asyncio
from time import monotonic

from shoal.bus import Bus, View
from shoal.core.errors import ShoalError
from shoal.telemetry.logs import get_logger

#: At most this often does asking for unknown things reach the broker, however many clients ask.
INTERVAL_S = 0.05

_log = get_logger("gateway")


class Rereading:
    """Readings of one view that everybody shares who asks at the same time. `close` at the end."""

    def __init__(self, bus: Bus, view: View) -> None:
        self._bus = bus
        self._view = view
        #: A reading that has not begun yet: whoever asks now is content with it.
        self._upcoming: asyncio.Task[None] | None = None
        self._readings: set[asyncio.Task[None]] = set()
        self._begun_at = float("-inf")

    def close(self) -> None:
        for reading in self._readings:
            reading.cancel()

    async def read_again(self) -> None:
        """Compare the view with the broker; the reading begins after this call.

        Readings begin at intervals, and everybody who asks before one begins waits for that one. Returns without one
        while the broker cannot answer.
        """
        if not self._bus.is_connected:
            return
        if self._upcoming is None:
            self._upcoming = asyncio.get_running_loop().create_task(self._read())
            self._readings.add(self._upcoming)
            self._upcoming.add_done_callback(self._readings.discard)
        # Shielded: one client that leaves must not take the reading away from the others.
        await asyncio.shield(self._upcoming)

    async def _read(self) -> None:
        await asyncio.sleep(max(0.0, self._begun_at + INTERVAL_S - monotonic()))
        self._begun_at = monotonic()
        self._upcoming = None
        try:
            await self._view.refresh()
        except ShoalError as error:
            _log.debug("view not readable", error=error.message)
