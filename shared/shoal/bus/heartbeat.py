"""Who is alive: a table of the peers whose heartbeats we hear. Pure; `now` is any monotonic clock in seconds.

Silence is counted only over time in which we could have heard something: while connected, and while our own event
loop was running. A loop that was blocked for three seconds has not listened for three seconds, so one tick adds at
most `TICK_LIMIT_S`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from shoal.core.messages import NOTHING_CONFIRMED, EndedExecutor, Heartbeat, InstanceStatus, ModelCounters

#: Each process beats this often.
BEAT_INTERVAL_S = 0.25
#: The table is looked through this often; half a beat, so that suspicion comes at most this late.
TICK_INTERVAL_S = 0.125
#: The most silence that one tick may add.
TICK_LIMIT_S = 2 * TICK_INTERVAL_S
SUSPECTED_AFTER_S = 1.0
LEFT_AFTER_S = 10.0

PeerEventKind = Literal["appeared", "beat", "suspected", "recovered", "left"]


class HeartbeatBody(NamedTuple):
    """What a process says of itself in each heartbeat, beside who it is; see `Heartbeat`."""

    owned: dict[str, int] = {}  # noqa: RUF012 - never written to, and a NamedTuple's defaults have no factories
    backends: tuple[str, ...] = ()
    instances: tuple[InstanceStatus, ...] = ()
    counters: tuple[ModelCounters, ...] = ()
    ended: tuple[EndedExecutor, ...] = ()
    confirmed: tuple[str, int] = NOTHING_CONFIRMED


class Peer(NamedTuple):
    """Another process, with the last heartbeat heard of it. `suspected`: silent for a second or more."""

    incarnation: str
    role: str
    heartbeat: Heartbeat
    suspected: bool


class PeerEvent(NamedTuple):
    """What happened to a peer. Every heartbeat makes one event: "appeared" for the first, "recovered" when the peer
    was suspected, "beat" otherwise; `previous` is the heartbeat before it. "left" is a farewell or ten seconds of
    silence; the peer is out of the table then, and appears anew should it be heard again."""

    kind: PeerEventKind
    peer: Peer
    previous: Heartbeat | None


class PeerTable:
    """The peers heard so far. `heard`, `tick` and `forgive_silence` are the only doors of change."""

    def __init__(self, own_incarnation: str, now: float) -> None:
        self._own = own_incarnation
        self._ticked_at = now
        self._peers: dict[str, Peer] = {}
        self._silence_s: dict[str, float] = {}
        #: A live read-only view, by incarnation.
        self.peers: Mapping[str, Peer] = MappingProxyType(self._peers)

    def heard(self, heartbeat: Heartbeat) -> list[PeerEvent]:
        who = heartbeat.incarnation
        if who == self._own:
            return []
        before = self._peers.get(who)
        previous = before.heartbeat if before else None
        peer = Peer(who, heartbeat.role, heartbeat, False)
        if heartbeat.leaving:
            return self._remove(who, peer, previous)
        self._peers[who] = peer
        self._silence_s[who] = 0.0
        if before is None:
            return [PeerEvent("appeared", peer, None)]
        return [PeerEvent("recovered" if before.suspected else "beat", peer, previous)]

    def tick(self, now: float, can_hear: bool) -> list[PeerEvent]:
        """Let time pass. `can_hear`: whether heartbeats could have come in since the last tick."""
        elapsed_s = min(now - self._ticked_at, TICK_LIMIT_S)
        self._ticked_at = now
        if not can_hear:
            return []
        events: list[PeerEvent] = []
        for who in list(self._peers):
            self._silence_s[who] += elapsed_s
            events += self._judge(who, self._silence_s[who])
        return events

    def forgive_silence(self) -> None:
        """Start counting anew for everyone: after our link was mended, the others' links are only being mended."""
        for who in self._silence_s:
            self._silence_s[who] = SUSPECTED_AFTER_S if self._peers[who].suspected else 0.0

    def _judge(self, who: str, silence_s: float) -> list[PeerEvent]:
        peer = self._peers[who]
        if silence_s >= LEFT_AFTER_S:
            return self._remove(who, peer, peer.heartbeat)
        if silence_s >= SUSPECTED_AFTER_S and not peer.suspected:
            self._peers[who] = suspect = peer._replace(suspected=True)
            return [PeerEvent("suspected", suspect, peer.heartbeat)]
        return []

    def _remove(self, who: str, peer: Peer, previous: Heartbeat | None) -> list[PeerEvent]:
        if self._peers.pop(who, None) is None:
            return []
        del self._silence_s[who]
        return [PeerEvent("left", peer, previous)]
