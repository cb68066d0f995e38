"""The responses of senders: sent as they come, kept until they are taken, and sent again when they may be lost.

Belongs to the loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from shoal.bus import Bus, Part, PeerEvent
from shoal.core.errors import ShoalError
from shoal.core.messages import NO_TIMINGS, RequestKey, Taken
from shoal.workers.executor.answers import Answer, failure
from shoal.workers.executor.delivery import Delivery
from shoal.workers.executor.stream import Sent, Stream
from shoal.workers.executor.untaken import Untaken


class _Open(NamedTuple):
    stream: Stream
    untaken: Untaken


class Streams:
    """The `Receiver` of this process's streams. `on_end` hears of requests that have had their final response."""

    def __init__(self, bus: Bus, delivery: Delivery, on_end: Callable[[RequestKey], None]) -> None:
        self._bus = bus
        self._delivery = delivery
        self._on_end = on_end
        self._open: dict[RequestKey, _Open] = {}

    def start(self) -> None:
        """Hear of what was taken, and of troubles of links."""
        self._bus.on(Taken, self._on_taken)
        self._bus.watch_peers(self._on_peer)
        self._bus.on_link(self._on_link)
        self._delivery.on_free = self._on_free

    def sent(self, stream: Stream, sent: Sent) -> None:
        key = stream.key
        place, given, nbytes, block = sent
        if stream.is_dropped:
            self.dropped(stream, block)
            return
        now = time.monotonic()

        def instead(error: ShoalError) -> Answer:
            return failure(key[1], error, True, NO_TIMINGS, place._replace(final=True))

        if place.number == 0 and place.final:
            self._delivery.give_only(key, given, block, instead, now)
            return
        given = self._delivery.give(key, given, block, instead, now)
        open_ = self._open.get(key)
        if open_ is None:
            open_ = self._open[key] = _Open(stream, Untaken())
        open_.untaken.add(place, nbytes, given, now)

    def dropped(self, stream: Stream, block: int | None) -> None:
        if block is not None:
            self._delivery.free(block)

    def ended(self, stream: Stream) -> None:
        self._on_end(stream.key)

    def forget(self, key: RequestKey) -> None:
        """Nobody waits for the responses to this request."""
        self._open.pop(key, None)

    def of_submitter(self, submitter: str) -> list[RequestKey]:
        """The requests of this submitter whose responses are kept."""
        return [key for key in self._open if key[0] == submitter]

    def repeat(self, key: RequestKey) -> bool:
        """Send what was not taken again; False when nothing is known of that."""
        open_ = self._open.get(key)
        if open_ is None:
            return False
        for given in open_.untaken:
            self._delivery.send(key[0], given)
        return True

    def keys(self) -> Iterable[RequestKey]:
        """The requests whose responses are kept."""
        return self._open.keys()

    def tend(self) -> None:
        """To be called about once a second."""
        now = time.monotonic()
        for key, open_ in self._open.items():
            probe = open_.untaken.probe(now)
            if probe is not None:
                self._delivery.send(key[0], probe)

    def _on_taken(self, sender: str, message: Taken, _part: Part) -> None:
        now = time.monotonic()
        for counter, index in message.answers:
            open_ = self._open.get((sender, counter))
            if open_ is None:
                continue
            was_complete = open_.untaken.is_complete
            open_.stream.taken(*open_.untaken.taken(index, now))
            if was_complete and not open_.untaken:
                del self._open[sender, counter]

    def _on_free(self, key: RequestKey, generation: int) -> None:
        open_ = self._open.get(key)
        if open_ is not None:
            open_.untaken.released(key[1], (generation,))

    def _on_peer(self, event: PeerEvent) -> None:
        who, previous = event.peer.incarnation, event.previous
        if previous is not None and previous.links != event.peer.heartbeat.links:
            self._repeat_all(self.of_submitter(who))

    def _on_link(self, connected: bool) -> None:
        if connected:
            self._repeat_all(self._open)

    def _repeat_all(self, keys: Iterable[RequestKey]) -> None:
        for key in keys:
            self.repeat(key)
