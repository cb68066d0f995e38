"""The bus of one process: messages to and from peers, heartbeats, and who is alive.

Everything whose order matters comes over one inbox. What is sent to one destination in one turn of the event loop
leaves as one NATS message, and handlers run inside the read loop: no task and no queue per message.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import token_hex
from typing import Any, TypeVar, cast

from shoal.bus import subjects
from shoal.bus.frames import Buffer, FrameError, Part, is_fragment, read_bundle, read_piece
from shoal.bus.heartbeat import BEAT_INTERVAL_S, TICK_INTERVAL_S, HeartbeatBody, Peer, PeerEvent, PeerTable
from shoal.bus.link import Link
from shoal.bus.outbox import Outbox
from shoal.bus.reassembly import Reassembler
from shoal.bus.settings import BusSettings
from shoal.core.encoding import SCHEMA, decode, encode
from shoal.core.messages import V3, Heartbeat, Message
from shoal.memory.host import host_id
from shoal.telemetry.logs import get_logger

M = TypeVar("M", bound=Message)

PeerWatcher = Callable[[PeerEvent], None]

#: Messages that are lost again and again are told this often.
LOSS_INTERVAL_S = 1.0

_HEARTBEAT = SCHEMA[Heartbeat][0]
_log = get_logger("bus")


class Bus:
    """Made by `connect`; register handlers and watchers, then `start`. Use from its event loop's thread only.

    Handlers are synchronous and must not block; what they raise is logged and hurts nobody else's message.
    """

    def __init__(
        self, link: Link, settings: BusSettings, incarnation: str, role: str, listen_to: Sequence[str]
    ) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._namespace = settings.namespace
        self._listen_to = tuple(listen_to)
        self._handlers: dict[int, Callable[[str, Any, Part], None]] = {}
        self._peer_watchers: list[PeerWatcher] = []
        self._loss_watchers: list[Callable[[bool], None]] = []
        self._told_lost_count = 0
        self._told_loss_at = -LOSS_INTERVAL_S
        self._table = PeerTable(incarnation, self._loop.time())
        self._outbox = Outbox(incarnation, subjects.inbox(settings.namespace, ""))
        self._heartbeats = Outbox(incarnation, subjects.heartbeats(settings.namespace, ""))
        self._inbox_pieces = Reassembler()
        self._heartbeat_pieces = Reassembler()
        self._is_flush_due = False
        self._is_beat_due = False
        self._pulse: asyncio.Task[None] | None = None
        self.role = role
        #: New at each start; safe in subjects and keys.
        self.incarnation = incarnation
        #: See `BusSettings`; empty for none.
        self.seat = settings.seat or ""
        #: Asked at each heartbeat; to be set before `start`.
        self.body: Callable[[], HeartbeatBody] = HeartbeatBody
        #: Whose shared memory we can map, empty for none; who must not be sent any says so before `start`.
        self.host = host_id()
        link.watch(self._on_link)
        self.on(Heartbeat, self._hear)

    @classmethod
    async def connect(cls, settings: BusSettings, role: str, listen_to: Sequence[str] = ()) -> Bus:
        """A bus whose link is up but which neither hears nor beats before `start`.

        `listen_to`: the roles whose heartbeats `peers` is made of. Raises what `Link.open` raises.
        """
        incarnation = f"{role}-{token_hex(6)}"
        link = await Link.open(settings, incarnation)
        return cls(link, settings, incarnation, role, listen_to)

    @property
    def link(self) -> Link:
        """For the parts of the bus that talk to the broker itself (views)."""
        return self._link

    @property
    def namespace(self) -> str:
        return self._namespace

    @property
    def is_connected(self) -> bool:
        return self._link.is_connected

    @property
    def connected_since(self) -> float | None:
        """Loop time at which the link was last made or mended, None while it is down."""
        return self._link.connected_since

    @property
    def links(self) -> int:
        """Grows with each reconnect and each notice of dropped messages: a reason for peers to reconcile."""
        return self._link.troubles + self._lost_count

    @property
    def _lost_count(self) -> int:
        """Notices of messages to or from us that were lost while the link was up."""
        return self._inbox_pieces.lost + self._outbox.dropped

    @property
    def closed(self) -> asyncio.Event:
        """Set when the link ended for good: by `close`, or by the broker. A process cannot go on without."""
        return self._link.closed

    @property
    def peers(self) -> Mapping[str, Peer]:
        """Live view of the peers alive or suspected, by incarnation; only roles of `listen_to`, without ourselves."""
        return self._table.peers

    def on(self, message: type[M], handler: Callable[[str, M, Part], None]) -> None:
        """Call `handler(sender, message, part)` for each message of this type; one handler per type."""
        self._handlers[SCHEMA[cast(type[Message], message)][0]] = handler

    def on_link(self, callback: Callable[[bool], None]) -> None:
        """Call with False when the link is lost, and with True whenever messages may have been missed that can be asked
        for again now: when the link is mended and hears again, and when some were lost while it was up."""
        self._link.watch(callback)
        self._loss_watchers.append(callback)

    def watch_peers(self, callback: PeerWatcher) -> None:
        """Call with everything that happens to peers; see `PeerEvent`."""
        self._peer_watchers.append(callback)

    async def start(self) -> None:
        """Subscribe and begin to beat. Returns when the broker knows our subscriptions; raises Unavailable when the
        link is lost meanwhile."""
        for role in self._listen_to:
            await self._link.subscribe(
                subjects.heartbeats(self._namespace, role), partial(self._on_frame, self._heartbeat_pieces)
            )
        inbox = subjects.inbox(self._namespace, self.incarnation)
        await self._link.subscribe(inbox, partial(self._on_frame, self._inbox_pieces))
        await self._link.settle()
        self._table.forgive_silence()
        self._pulse = self._loop.create_task(self._run_pulse())

    def send(self, to: str, message: Message, buffers: Sequence[bytes | memoryview] = ()) -> None:
        """Queue a message for the process `to`; it leaves at the end of this loop turn, or is dropped when there is no
        link. `buffers` are the payload, joined; they must stay unchanged until the end of the turn."""
        self.send_encoded(to, SCHEMA[type(message)][0], encode(message), buffers)

    def send_encoded(
        self, to: str, kind: int, header: bytes | memoryview, buffers: Sequence[bytes | memoryview] = ()
    ) -> None:
        """`send` for a header that is encoded already. Raises InvalidArgument for a message beyond 1 GiB."""
        if not self._link.is_connected:
            return
        self._outbox.add(to, kind, header, buffers)
        self._schedule_flush()

    def beat(self) -> None:
        """Send a heartbeat at the end of this loop turn, however often it is asked for in it."""
        self._is_beat_due = True
        self._schedule_flush()

    async def close(self) -> None:
        """Send what is queued and the farewell, then end the link. Idempotent."""
        if self._pulse is not None:
            self._pulse.cancel()
            await asyncio.gather(self._pulse, return_exceptions=True)
            self._pulse = None
            self._flush()
            self._write_heartbeat(leaving=True)
        await self._link.flush()
        await self._link.close()

    def _schedule_flush(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        if self._is_beat_due and self._pulse is not None:
            self._write_heartbeat(leaving=False)
        self._is_beat_due = False
        self._write(self._outbox)

    def _write(self, outbox: Outbox) -> None:
        for data in outbox.take(self._link.max_payload, self._link.backlog_nbytes):
            self._link.write(data)

    def _write_heartbeat(self, leaving: bool) -> None:
        try:
            body = self.body()
        except Exception:
            # A heartbeat without news is better than a process that is taken for dead.
            _log.exception("heartbeat body failed")
            body = HeartbeatBody()
        heartbeat = Heartbeat(
            V3, self.incarnation, self.role, self.host, os.getpid(), self.links, leaving, **body._asdict()
        )
        self._heartbeats.add(self.role, _HEARTBEAT, encode(heartbeat), ())
        self._write(self._heartbeats)

    async def _run_pulse(self) -> None:
        next_beat = self._loop.time()
        links = self.links
        while True:
            now = self._loop.time()
            if now >= next_beat or self.links != links:
                links = self.links
                next_beat = max(next_beat + BEAT_INTERVAL_S, now)
                self.beat()
            self._announce(self._table.tick(now, can_hear=self._link.is_connected and self._link.has_heard()))
            self._inbox_pieces.expire(now)
            self._heartbeat_pieces.expire(now)
            self._tell_losses(now)
            await asyncio.sleep(TICK_INTERVAL_S)

    def _tell_losses(self, now: float) -> None:
        if self._lost_count == self._told_lost_count or now - self._told_loss_at < LOSS_INTERVAL_S:
            return
        if not self._link.is_connected:
            return  # the mended link will be told
        self._told_lost_count, self._told_loss_at = self._lost_count, now
        _log.warning("messages lost", links=self.links)
        for watcher in list(self._loss_watchers):
            try:
                watcher(True)
            except Exception:
                _log.exception("link watcher failed")

    def _on_link(self, connected: bool) -> None:
        if connected:
            self._table.forgive_silence()
            self.beat()

    def _on_frame(self, reassembler: Reassembler, subject: bytes, data: bytes, header_block: bytes) -> None:
        try:
            bundle: Buffer | None = data
            if is_fragment(data):
                bundle = reassembler.add(read_piece(data), self._loop.time())
            if bundle is None:
                return
            sender, parts = read_bundle(bundle)
        except FrameError as error:
            _log.warning("frame refused", error=str(error))
            return
        for part in parts:
            handler = self._handlers.get(part.kind)
            if handler is None:
                continue
            try:
                handler(sender, decode(part.kind, part.header), part)
            except Exception:
                # One message's trouble must not take the others of the bundle with it.
                _log.exception("message handler failed", sender=sender, kind=part.kind)

    def _hear(self, sender: str, heartbeat: Heartbeat, part: Part) -> None:
        self._announce(self._table.heard(heartbeat))

    def _announce(self, events: Sequence[PeerEvent]) -> None:
        for event in events:
            for watcher in list(self._peer_watchers):
                try:
                    watcher(event)
                except Exception:
                    _log.exception("peer watcher failed", peer=event.peer.incarnation, event_kind=event.kind)
