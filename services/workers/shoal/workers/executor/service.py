"""The shell of an executor on its side thread: bus and control pipe in, instances' threads out.

Everything here runs on the event loop's thread. What it keeps (ledger, answers, counters, open items) is changed by it
alone; instances report through `post`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable

from shoal.bus import Bus, HeartbeatBody, Part, PeerEvent
from shoal.core.errors import ShoalError, Unavailable
from shoal.core.messages import (
    V1,
    V2,
    Batch,
    BatchDone,
    BatchQuery,
    BatchQueryReply,
    Cancel,
    ExecutorReport,
    InferRequest,
    RequestKey,
    Resend,
    RunningBatch,
    StatisticsQuery,
    StatisticsReply,
)
from shoal.telemetry.logs import get_logger
from shoal.workers import control
from shoal.workers.backend import Backend
from shoal.workers.control import ControlMessage, Hello, Load, Loaded, LoadFailed, Ping, Pong, Stop, Unload, Unloaded
from shoal.workers.error_text import wire_error
from shoal.workers.executor.counters import ExecutionCounters
from shoal.workers.executor.course import Course
from shoal.workers.executor.delivery import Delivery
from shoal.workers.executor.execution import Outcome
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.instance import Instance, Surroundings, Work
from shoal.workers.executor.item import Item, decode_items
from shoal.workers.executor.ledger import Arrival, BatchLedger
from shoal.workers.executor.open_items import OpenItems
from shoal.workers.executor.stream import Stream
from shoal.workers.executor.streams import Streams

#: The ownership whose epochs count for batches.
OWNERSHIP_KEY = "models"

#: How often memory is tended, and old answers are forgotten.
_TEND_INTERVAL_S = 1.0
#: How long an instance that is to be unloaded waits for the senders that are still open; its agent waits longer.
SENDERS_LIMIT_S = 20.0
#: How long an executor that stops waits for the release of the answers it gave.
_RELEASE_LIMIT_S = 5.0

_log = get_logger("executor")


class ExecutorService:
    """Takes batches, has them executed, answers. `main_thread` gets the instances that must run on the main thread."""

    def __init__(
        self,
        bus: Bus,
        tell_agent: Callable[[bytes], None],
        backend: type[Backend],
        *,
        board_fd: int,
        memory: HostMemory,
        main_thread: queue.SimpleQueue[Instance | None],
    ) -> None:
        self._bus = bus
        self._tell_agent = tell_agent
        self._backend = backend
        self._memory = memory
        self._main_thread = main_thread
        self._surroundings = Surroundings(board_fd, memory, asyncio.get_running_loop().call_soon_threadsafe)
        self._instances: dict[int, Instance] = {}
        self._open = OpenItems()
        self._ledger = BatchLedger()
        self._delivery = Delivery(bus, memory)
        self._streams = Streams(bus, self._delivery, self._on_stream_end)
        self._counters = ExecutionCounters()
        self._tending: asyncio.Task[None] | None = None
        self._is_stopping = False
        #: Set when everything is unloaded after a Stop.
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        """Be on the bus, and say hello to the agent."""
        bus = self._bus
        bus.host = self._memory.host
        bus.body = self._body
        bus.on(Batch, self._on_batch)
        bus.on(Cancel, self._on_cancel)
        bus.on(BatchQuery, self._on_batch_query)
        bus.on(Resend, self._on_resend)
        bus.on(StatisticsQuery, self._on_statistics_query)
        bus.watch_peers(self._on_peer)
        self._delivery.start()
        self._streams.start()
        await bus.start()
        self._tending = asyncio.create_task(self._tend())
        self._say(Hello(bus.incarnation))

    async def close(self) -> None:
        """After `stopped`: wait until the answers given were read, but not for ever, and give all memory back."""
        await self._delivery.released(_RELEASE_LIMIT_S)
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait({self._tending})
        self._memory.close()

    def obey(self, message: ControlMessage) -> None:
        """Do what the agent says."""
        if isinstance(message, Load):
            self._load(message)
        elif isinstance(message, Unload):
            self._unload(message.slot)
        elif isinstance(message, Ping):
            self._say(Pong())
        elif isinstance(message, Stop):
            self._stop()

    def loaded(self, instance: Instance, error: ShoalError | None) -> None:
        if error is None:
            self._say(Loaded(instance.slot))
            return
        del self._instances[instance.slot]
        self._say(LoadFailed(instance.slot, *wire_error(error)))
        self._note_stopped()

    def executed(self, instance: Instance, work: Work, outcome: Outcome) -> None:
        """Count, tell the scheduler, answer, in this order: whoever has an answer finds it in the statistics."""
        now = time.monotonic()
        if outcome.computed is not None:
            self._counters.executed(instance.counted, outcome.computed, work.reason, now, time.time_ns() // 1_000_000)
        self._finish(work.epoch, work.batch_id, instance.slot)
        self._open.executed(work.items)
        for result in outcome.results:
            self._delivery.deliver(result, now)
        self._end_if_done(instance)

    def unloaded(self, instance: Instance) -> None:
        self._instances.pop(instance.slot, None)
        self._say(Unloaded(instance.slot))
        self._note_stopped()

    def _load(self, load: Load) -> None:
        instance = Instance(load, self._backend, self._surroundings, self)
        self._instances[load.slot] = instance
        if self._backend.process_per_instance:
            self._main_thread.put(instance)
        else:
            # Unload ends it; a model that never comes back must not keep the process from ending.
            threading.Thread(target=instance.run, name=instance.name, daemon=True).start()

    def _unload(self, slot: int) -> None:
        instance = self._instances.get(slot)
        if instance is None:
            self._say(Unloaded(slot))
        else:
            self._finish_instance(instance)

    def _stop(self) -> None:
        self._is_stopping = True
        for instance in self._instances.values():
            self._finish_instance(instance)
        self._note_stopped()

    def _finish_instance(self, instance: Instance) -> None:
        """Unload an instance when what it has is answered; senders that are open for too long are closed."""
        instance.finish()
        self._end_if_done(instance)
        asyncio.get_running_loop().call_later(SENDERS_LIMIT_S, self._end_streams, instance)

    def _end_streams(self, instance: Instance) -> None:
        text = (
            f"'{instance.name}' was unloaded, and this request not ended by its sender within {SENDERS_LIMIT_S:.0f} s"
        )
        self._open.end_streams(instance, Unavailable(text))

    def _end_if_done(self, instance: Instance) -> None:
        if instance.is_finishing and not self._open.has_any(instance):
            instance.end()

    def _on_stream_end(self, key: RequestKey) -> None:
        instance = self._open.ended(key)
        if instance is not None:
            self._end_if_done(instance)

    def _note_stopped(self) -> None:
        if self._is_stopping and not self._instances:
            self.stopped.set()

    def _on_batch(self, sender: str, batch: Batch, part: Part) -> None:
        self._meet_owner(batch.epoch, sender)
        arrival = self._ledger.arrival(batch.epoch, batch.batch_id)
        if arrival is Arrival.DONE:
            self._repeat(batch.epoch, batch.batch_id)
        elif arrival is Arrival.NEW:
            now_ns = time.monotonic_ns()
            items = decode_items(batch, part.payload, now_ns, self._open_stream, self._memory.view)
            self._take(sender, batch, items)

    def _take(self, sender: str, batch: Batch, items: list[Item]) -> None:
        # A request that was executed here already is answered from what is kept, not executed a second time.
        fresh = [item for item in items if not self._repeat_answer(item.key)]
        instance = self._instances.get(batch.instance)
        if fresh and not (instance and instance.offer(Work(batch.epoch, batch.batch_id, batch.reason, fresh))):
            # As good as never arrived: the scheduler places it elsewhere.
            self._bus.send(sender, BatchQueryReply(V1, batch.epoch, (batch.batch_id,)))
            return
        keys, deaths = tuple([item.key for item in items]), tuple([part.deaths for part in batch.items])
        self._ledger.hold(RunningBatch(batch.epoch, batch.batch_id, batch.instance, keys, deaths))
        if not fresh or instance is None:
            self._finish(batch.epoch, batch.batch_id, batch.instance)
        else:
            self._open.take(instance, fresh)

    def _on_cancel(self, _sender: str, cancel: Cancel, _part: Part) -> None:
        self._cancel([(cancel.submitter, counter) for counter in cancel.counters])

    def _cancel(self, keys: Iterable[RequestKey]) -> None:
        for key in keys:
            self._open.cancel(key)
            self._streams.forget(key)

    def _on_batch_query(self, sender: str, query: BatchQuery, _part: Part) -> None:
        for batch_id in query.batch_ids:
            self._repeat(query.epoch, batch_id)
        unknown = self._ledger.unknown(query.epoch, query.batch_ids)
        if unknown:
            self._bus.send(sender, BatchQueryReply(V1, query.epoch, unknown))

    def _on_resend(self, _sender: str, resend: Resend, _part: Part) -> None:
        self._repeat_or_lose((resend.submitter, resend.counter))

    def _on_statistics_query(self, sender: str, query: StatisticsQuery, _part: Part) -> None:
        counters = {self._bus.incarnation: self._counters.rows()}
        self._bus.send(sender, StatisticsReply(V1, query.query_id, counters))

    def _on_peer(self, event: PeerEvent) -> None:
        epoch = event.peer.heartbeat.owned.get(OWNERSHIP_KEY)
        if epoch is not None and event.kind != "left":
            self._meet_owner(epoch, event.peer.incarnation)
        if event.kind == "left":
            who = event.peer.incarnation
            self._cancel([*self._open.of_submitter(who), *self._streams.of_submitter(who)])

    def _meet_owner(self, epoch: int, owner: str) -> None:
        if self._ledger.meet_owner(epoch, owner):
            kept = dict.fromkeys((*self._delivery.keys(), *self._streams.keys(), *self._open.streaming()))
            self._bus.send(owner, ExecutorReport(V2, epoch, self._ledger.held(), tuple(kept)))

    def _finish(self, epoch: int, batch_id: int, slot: int) -> None:
        self._ledger.finish(epoch, batch_id)
        self._bus.send(self._ledger.owner, BatchDone(V1, epoch, batch_id, slot))

    def _repeat(self, epoch: int, batch_id: int) -> None:
        """Report a done batch again, and answer its requests again."""
        done = self._ledger.done(epoch, batch_id)
        if done is None:
            return
        self._bus.send(self._ledger.owner, BatchDone(V1, epoch, batch_id, done.instance))
        for key in done.keys:
            self._repeat_or_lose(key)

    def _repeat_answer(self, key: RequestKey) -> bool:
        """Send again what was given and not taken; False for a request that nothing is known of."""
        return self._streams.repeat(key) or key in self._open or self._delivery.repeat(key)

    def _repeat_or_lose(self, key: RequestKey) -> None:
        if not self._repeat_answer(key):
            self._delivery.lose(key)

    def _open_stream(self, header: InferRequest, queue_ns: int, course: Course) -> Stream:
        post, memory = self._surroundings.post, self._memory
        return Stream(header, queue_ns, course, memory=memory, post=post, receiver=self._streams)

    def _say(self, message: ControlMessage) -> None:
        self._tell_agent(control.encode(message))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(_TEND_INTERVAL_S)
            try:
                self._memory.tend()
                self._delivery.tend()
                self._streams.tend()
            except Exception:  # whatever it was, it is tried again in a second
                _log.exception("memory not tended")

    def _body(self) -> HeartbeatBody:
        return HeartbeatBody(counters=self._counters.recent(time.monotonic()))
