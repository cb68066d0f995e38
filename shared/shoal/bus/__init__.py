"""The bus between Shoal's processes: the only package that knows NATS.

Messages to peers and heartbeats (`Bus`), key-value state (`View`), who owns what (`Ownership`), and the embedded
broker (`prepare_broker`).

Each name is imported when it is first asked for: a process that only reads settings needs no broker client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoal.bus.broker import EmbeddedBroker, find_nats_server, free_port, prepare_broker
    from shoal.bus.connection import Bus
    from shoal.bus.frames import Part
    from shoal.bus.heartbeat import HeartbeatBody, Peer, PeerEvent
    from shoal.bus.ownership import Ownership
    from shoal.bus.settings import BusSettings
    from shoal.bus.store import Conflict
    from shoal.bus.view import View

__all__ = [
    "Bus",
    "BusSettings",
    "Conflict",
    "EmbeddedBroker",
    "HeartbeatBody",
    "Ownership",
    "Part",
    "Peer",
    "PeerEvent",
    "View",
    "find_nats_server",
    "free_port",
    "prepare_broker",
]

_HOMES = {
    "Bus": "shoal.bus.connection",
    "BusSettings": "shoal.bus.settings",
    "Conflict": "shoal.bus.store",
    "EmbeddedBroker": "shoal.bus.broker",
    "HeartbeatBody": "shoal.bus.heartbeat",
    "Ownership": "shoal.bus.ownership",
    "Part": "shoal.bus.frames",
    "Peer": "shoal.bus.heartbeat",
    "PeerEvent": "shoal.bus.heartbeat",
    "View": "shoal.bus.view",
    "find_nats_server": "shoal.bus.broker",
    "free_port": "shoal.bus.broker",
    "prepare_broker": "shoal.bus.broker",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(home), name)
    globals()[name] = found
    return found
