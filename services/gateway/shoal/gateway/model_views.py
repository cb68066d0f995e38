"""Follows the desired state and the agents' heartbeats, and keeps `Models` current."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic

from shoal.bus import Bus, PeerEvent, View
from shoal.bus.heartbeat import BEAT_INTERVAL_S
from shoal.core.desired import decode_model, decode_status
from shoal.core.errors import ShoalError
from shoal.gateway.models import Models
from shoal.telemetry.logs import get_logger

_AGENT = "agent"
_STATUS = "status"
#: At most this often does asking for unknown models reach the broker, however many clients ask.
_READ_AGAIN_INTERVAL_S = 0.05
#: Whoever has not been heard in this time has nothing ready.
_HEAR_AGENTS_S = 3 * BEAT_INTERVAL_S

_log = get_logger("gateway")


class ModelViews:
    """`watch_agents` before the bus starts, `open` after, `close` at the end."""

    def __init__(self, bus: Bus, models: Models) -> None:
        self._bus = bus
        self._models = models
        self._views: list[View] = []
        #: A reading that has not begun yet: whoever asks now is content with it.
        self._upcoming: asyncio.Task[None] | None = None
        self._readings: set[asyncio.Task[None]] = set()
        self._begun_at = float("-inf")
        self._heard = asyncio.Event()

    def watch_agents(self) -> None:
        self._bus.watch_peers(self._on_peer)

    async def open(self) -> None:
        """Read the buckets, and hear the agents: a gateway that comes to models that are ready must not deny them, and
        the next heartbeats tell. Raises Unavailable when the broker has no working JetStream."""
        self._views.append(await View.open(self._bus, "desired", self._on_desired))
        self._views.append(await View.open(self._bus, "repository", self._on_repository))
        deadline = monotonic() + _HEAR_AGENTS_S
        while self._models.repository_settled and not self._models.all_ready() and monotonic() < deadline:
            self._heard.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), deadline - monotonic())

    async def close(self) -> None:
        for reading in self._readings:
            reading.cancel()
        for view in self._views:
            await view.close()

    async def read_again(self) -> None:
        """Compare the desired state with the broker's, before a model is denied; the reading begins after this call.

        Readings begin at intervals, and everybody who asks before one begins waits for that one. Returns without one
        while the broker cannot answer.
        """
        if not self._views or not self._bus.is_connected:
            return
        if self._upcoming is None:
            self._upcoming = asyncio.get_running_loop().create_task(self._read(self._views[0]))
            self._readings.add(self._upcoming)
            self._upcoming.add_done_callback(self._readings.discard)
        # Shielded: one client that leaves must not take the reading away from the others.
        await asyncio.shield(self._upcoming)

    async def _read(self, view: View) -> None:
        await asyncio.sleep(max(0.0, self._begun_at + _READ_AGAIN_INTERVAL_S - monotonic()))
        self._begun_at = monotonic()
        self._upcoming = None
        try:
            await view.refresh()
        except ShoalError as error:
            _log.debug("desired state not readable", error=error.message)

    def _on_desired(self, key: str, value: bytes | None, revision: int) -> None:
        if value is None:
            self._models.remove_model(key)
        else:
            self._models.put_model(decode_model(value))

    def _on_repository(self, key: str, value: bytes | None, revision: int) -> None:
        if key == _STATUS and value is not None:
            self._models.put_status(decode_status(value))

    def _on_peer(self, event: PeerEvent) -> None:
        peer = event.peer
        if peer.role == _AGENT:
            instances = () if event.kind == "left" else peer.heartbeat.instances
            self._models.put_instances(peer.incarnation, instances)
            self._heard.set()
