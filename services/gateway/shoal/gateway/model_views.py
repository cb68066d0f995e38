"""Follows the desired state and the agents' heartbeats, and keeps `Models` current."""

from __future__ import annotations

import asyncio
import contextlib
from time import monotonic

from shoal.bus import Bus, PeerEvent, View
from shoal.bus.heartbeat import BEAT_INTERVAL_S
from shoal.core.desired import decode_model, decode_status
from shoal.gateway.models import Models
from shoal.gateway.rereading import Rereading

_AGENT = "agent"
_STATUS = "status"
#: Whoever has not been heard in this time has nothing ready.
_HEAR_AGENTS_S = 3 * BEAT_INTERVAL_S


class ModelViews:
    """`watch_agents` before the bus starts, `open` after, `close` at the end."""

    def __init__(self, bus: Bus, models: Models) -> None:
        self._bus = bus
        self._models = models
        self._views: list[View] = []
        self._rereading: Rereading | None = None
        self._heard = asyncio.Event()

    def watch_agents(self) -> None:
        self._bus.watch_peers(self._on_peer)

    async def open(self) -> None:
        """Read the buckets, and hear the agents: a gateway that comes to models that are ready must not deny them, and
        the next heartbeats tell. Raises Unavailable when the broker has no working JetStream."""
        desired = await View.open(self._bus, "desired", self._on_desired)
        self._views.append(desired)
        self._rereading = Rereading(self._bus, desired)
        self._views.append(await View.open(self._bus, "repository", self._on_repository))
        deadline = monotonic() + _HEAR_AGENTS_S
        while self._models.repository_settled and not self._models.all_ready() and monotonic() < deadline:
            self._heard.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), deadline - monotonic())

    async def close(self) -> None:
        if self._rereading is not None:
            self._rereading.close()
        for view in self._views:
            await view.close()

    async def read_again(self) -> None:
        """Compare the desired state with the broker's, before a model is denied (see `Rereading`)."""
        if self._rereading is not None:
            await self._rereading.read_again()

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
