"""The shell of an executor on its side thread: bus and control pipe in, instances' threads out.

Everything here runs on the event loop's thread. What it keeps (ledger, kept answers, counters, open items) is changed
by it alone; instances report through `post`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable

from shoal.bus import Bus, HeartbeatBody, Part, PeerEvent
from shoal.core import encoding
from shoal.core.errors import ShoalError
from shoal.core.messages import (
    V1,
    V2,
    Batch,
    BatchDone,
    BatchQuery,
    BatchQueryReply,
    Cancel,
    ExecutorReport,
    InferResponse,
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
from shoal.workers.executor.answers import Answer, KeptAnswers, answer, failure, lost
from shoal.workers.executor.counters import ExecutionCounters
from shoal.workers.executor.execution import Outcome, Result
from shoal.workers.executor.instance import Instance, Work
from shoal.workers.executor.item import Item, decode_items
from shoal.workers.executor.ledger import Arrival, BatchLedger

#: The ownership whose epochs count for batches.
OWNERSHIP_KEY = "models"

_INFER_RESPONSE, _ = encoding.SCHEMA[InferResponse]
_log = get_logger("executor")


class ExecutorService:
    """Takes batches, has them executed, answers. `main_thread` gets the instances that must run on the main thread."""

    def __init__(
        self,
        bus: Bus,
        tell_agent: Callable[[bytes], None],
        backend: type[Backend],
        board_fd: int,
        main_thread: queue.SimpleQueue[Instance | None],
    ) -> None:
        self._bus = bus
        self._tell_agent = tell_agent
        self._backend = backend
        self._board_fd = board_fd
        self._main_thread = main_thread
        self._loop = asyncio.get_running_loop()
        self._instances: dict[int, Instance] = {}
        self._open: dict[RequestKey, Item] = {}
        self._ledger = BatchLedger()
        self._kept = KeptAnswers()
        self._counters = ExecutionCounters()
        self._is_stopping = False
        #: Set when everything is unloaded after a Stop.
        self.stopped = asyncio.Event()

    async def start(self) -> None:
        """Be on the bus, and say hello to the agent."""
        bus = self._bus
        bus.body = self._body
        bus.on(Batch, self._on_batch)
        bus.on(Cancel, self._on_cancel)
        bus.on(BatchQuery, self._on_batch_query)
        bus.on(Resend, self._on_resend)
        bus.on(StatisticsQuery, self._on_statistics_query)
        bus.watch_peers(self._on_peer)
        await bus.start()
        self._say(Hello(bus.incarnation))

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
        for result in outcome.results:
            self._answer(result, now)

    def unloaded(self, instance: Instance) -> None:
        self._instances.pop(instance.slot, None)
        self._say(Unloaded(instance.slot))
        self._note_stopped()

    def _answer(self, result: Result, now: float) -> None:
        item, given = result.item, answer(result)
        try:
            self._send(item.header.submitter, given)
        except ShoalError as error:
            # More than a message can hold: the submitter has to hear at least that.
            given = failure(item.header.counter, error, result.executed, result.timings)
            self._send(item.header.submitter, given)
        self._open.pop(item.key, None)
        self._kept.keep(item.key, given, now)

    def _load(self, load: Load) -> None:
        instance = Instance(load, self._backend, self._board_fd, self._loop.call_soon_threadsafe, self)
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
            instance.finish()

    def _stop(self) -> None:
        self._is_stopping = True
        for instance in self._instances.values():
            instance.finish()
        self._note_stopped()

    def _note_stopped(self) -> None:
        if self._is_stopping and not self._instances:
            self.stopped.set()

    def _on_batch(self, sender: str, batch: Batch, part: Part) -> None:
        self._meet_owner(batch.epoch, sender)
        arrival = self._ledger.arrival(batch.epoch, batch.batch_id)
        if arrival is Arrival.DONE:
            self._repeat(batch.epoch, batch.batch_id)
        elif arrival is Arrival.NEW:
            items = decode_items(batch, part.payload, time.monotonic_ns())
            self._take(sender, batch, items)

    def _take(self, sender: str, batch: Batch, items: list[Item]) -> None:
        fresh = [item for item in items if not self._answer_again(item)]
        instance = self._instances.get(batch.instance)
        if fresh and not (instance and instance.offer(Work(batch.epoch, batch.batch_id, batch.reason, fresh))):
            # As good as never arrived: the scheduler places it elsewhere.
            self._bus.send(sender, BatchQueryReply(V1, batch.epoch, (batch.batch_id,)))
            return
        keys, deaths = tuple([item.key for item in items]), tuple([part.deaths for part in batch.items])
        self._ledger.hold(RunningBatch(batch.epoch, batch.batch_id, batch.instance, keys, deaths))
        for item in fresh:
            self._open[item.key] = item
        if not fresh:
            self._finish(batch.epoch, batch.batch_id, batch.instance)

    def _answer_again(self, item: Item) -> bool:
        """A request that was executed here already is answered from what is kept, not executed a second time."""
        kept = self._kept.find(item.key, time.monotonic())
        if kept is not None:
            self._send(item.header.submitter, kept)
        return kept is not None

    def _on_cancel(self, _sender: str, cancel: Cancel, _part: Part) -> None:
        for counter in cancel.counters:
            item = self._open.get((cancel.submitter, counter))
            if item is not None:
                item.cancel()

    def _on_batch_query(self, sender: str, query: BatchQuery, _part: Part) -> None:
        for batch_id in query.batch_ids:
            self._repeat(query.epoch, batch_id)
        unknown = self._ledger.unknown(query.epoch, query.batch_ids)
        if unknown:
            self._bus.send(sender, BatchQueryReply(V1, query.epoch, unknown))

    def _on_resend(self, _sender: str, resend: Resend, _part: Part) -> None:
        key = (resend.submitter, resend.counter)
        if key not in self._open:
            self._send(resend.submitter, self._kept.find(key, time.monotonic()) or lost(resend.counter))

    def _on_statistics_query(self, sender: str, query: StatisticsQuery, _part: Part) -> None:
        counters = {self._bus.incarnation: self._counters.rows()}
        self._bus.send(sender, StatisticsReply(V1, query.query_id, counters))

    def _on_peer(self, event: PeerEvent) -> None:
        epoch = event.peer.heartbeat.owned.get(OWNERSHIP_KEY)
        if epoch is not None and event.kind != "left":
            self._meet_owner(epoch, event.peer.incarnation)

    def _meet_owner(self, epoch: int, owner: str) -> None:
        if self._ledger.meet_owner(epoch, owner):
            kept = self._kept.keys(time.monotonic())
            self._bus.send(owner, ExecutorReport(V2, epoch, self._ledger.held(), kept))

    def _finish(self, epoch: int, batch_id: int, slot: int) -> None:
        self._ledger.finish(epoch, batch_id)
        self._bus.send(self._ledger.owner, BatchDone(V1, epoch, batch_id, slot))

    def _repeat(self, epoch: int, batch_id: int) -> None:
        """Report a done batch again, and answer its requests again."""
        done = self._ledger.done(epoch, batch_id)
        if done is None:
            return
        self._bus.send(self._ledger.owner, BatchDone(V1, epoch, batch_id, done.instance))
        now = time.monotonic()
        for submitter, counter in done.keys:
            self._send(submitter, self._kept.find((submitter, counter), now) or lost(counter))

    def _send(self, submitter: str, given: Answer) -> None:
        self._bus.send_encoded(submitter, _INFER_RESPONSE, given.header, given.buffers)

    def _say(self, message: ControlMessage) -> None:
        self._tell_agent(control.encode(message))

    def _body(self) -> HeartbeatBody:
        now = time.monotonic()
        self._kept.expire(now)
        return HeartbeatBody(counters=self._counters.recent(now))
