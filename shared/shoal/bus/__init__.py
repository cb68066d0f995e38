"""The bus between Shoal's processes: the only package that knows NATS.

Messages to peers and heartbeats (`Bus`), key-value state (`View`), who owns what (`Ownership`), and the embedded
broker (`prepare_broker`).
"""

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
