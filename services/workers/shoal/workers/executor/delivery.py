"""From results to submitters: answers are sent, kept for those who ask again, and their blocks freed in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from shoal.bus import Bus, Part, PeerEvent
from shoal.core import encoding
from shoal.core.errors import ShoalError
from shoal.core.messages import V1, HoldQuery, InferResponse, Release, RequestKey
from shoal.workers.executor.answers import Answer, KeptAnswers, answer, failure, lost
from shoal.workers.executor.execution import Result
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.output_holds import Hold, OutputHolds

_INFER_RESPONSE, _ = encoding.SCHEMA[InferResponse]


class Delivery:
    """Belongs to the loop's thread. The block of an answer stays until its holder has released it or has left, even
    when the answer itself is not kept any longer."""

    def __init__(self, bus: Bus, memory: HostMemory) -> None:
        self._bus = bus
        self._memory = memory
        self._kept = KeptAnswers()
        self._holds = OutputHolds()
        self._all_released = asyncio.Event()
        self._all_released.set()
        #: Told of each block that is freed: whose outputs they were, and its generation.
        self.on_free: Callable[[RequestKey, int], None] = lambda key, generation: None

    def start(self) -> None:
        """Hear of releases, and of holders that leave."""
        self._bus.on(Release, self._on_release)
        self._bus.watch_peers(self._on_peer)
        self._bus.on_link(self._on_link)

    def deliver(self, result: Result, now: float) -> None:
        """Send the answer of a request, and keep it."""
        item, answered, executed, timings = result
        counter = item.header.counter
        given = answer(counter, answered, executed, timings)
        block = answered.outputs.block
        generation = None if block is None else block.generation
        self.give_only(item.key, given, generation, lambda error: failure(counter, error, executed, timings), now)

    def give_only(
        self, key: RequestKey, given: Answer, block: int | None, instead: Callable[[ShoalError], Answer], now: float
    ) -> None:
        """`give` the only response to a request, and keep it."""
        self._kept.keep(key, self.give(key, given, block, instead, now), now)

    def give(
        self, key: RequestKey, given: Answer, block: int | None, instead: Callable[[ShoalError], Answer], now: float
    ) -> Answer:
        """Send a response, or what is made of the error when it is more than a message can hold; returns what was sent.
        Its block stays until the submitter has released it; a `block` that it does not refer to is freed."""
        try:
            self.send(key[0], given)
        except ShoalError as error:
            given = instead(error)
            self.send(key[0], given)
        if given.generation is not None:
            self._holds.hold(key[0], given.generation, key, now)
            self._all_released.clear()
        elif block is not None:
            self._memory.free(block)
        return given

    def send(self, submitter: str, given: Answer) -> None:
        """Send a response once more. Raises InvalidArgument when it is more than a message can hold."""
        self._bus.send_encoded(submitter, _INFER_RESPONSE, given.header, given.buffers)

    def free(self, block: int) -> None:
        """Free the block of a response that was never sent."""
        self._memory.free(block)

    def repeat(self, key: RequestKey) -> bool:
        """Send a kept answer again, which refers to the same block; False when it is not kept."""
        kept = self._kept.find(key, time.monotonic())
        if kept is not None:
            self.send(key[0], kept)
        return kept is not None

    def lose(self, key: RequestKey) -> None:
        """Tell that the answer is gone."""
        self.send(key[0], lost(key[1]))

    def keys(self) -> tuple[RequestKey, ...]:
        """The requests whose answers are kept."""
        return self._kept.keys(time.monotonic())

    def tend(self) -> None:
        """To be called about once a second: forgets old answers, asks after blocks that nobody released."""
        now = time.monotonic()
        self._kept.expire(now)
        questions, ended = self._holds.due(now, self._bus.peers)
        for holder, generations in questions.items():
            self._bus.send(holder, HoldQuery(V1, generations))
        self._free(ended)

    async def released(self, limit_s: float) -> None:
        """Return when every block was released, or after `limit_s`: what is not copied yet is lost with us."""
        waiting = asyncio.ensure_future(self._all_released.wait())
        await asyncio.wait({waiting}, timeout=limit_s)
        waiting.cancel()

    def _on_release(self, sender: str, release: Release, _part: Part) -> None:
        self._free(self._holds.release(sender, release.generations))

    def _on_peer(self, event: PeerEvent) -> None:
        holder, previous = event.peer.incarnation, event.previous
        if event.kind == "left":
            self._free(self._holds.leave(holder))
        elif event.kind == "recovered" or (previous is not None and previous.links != event.peer.heartbeat.links):
            self._holds.postpone(time.monotonic(), holder)

    def _on_link(self, connected: bool) -> None:
        if connected:
            self._holds.postpone(time.monotonic())

    def _free(self, ended: Iterable[Hold]) -> None:
        for hold in ended:
            self._kept.forget(hold.key, hold.generation)
            self.on_free(hold.key, hold.generation)
            self._memory.free(hold.generation)
        if not self._holds:
            self._all_released.set()
