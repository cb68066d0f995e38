"""Scripted peers of a real scheduler process: an agent with an executor, and a submitter."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from scheduler_stage import GENERATION, MODEL, VERSION, request
from shoal.bus import Bus, BusSettings, HeartbeatBody, Part, PeerEvent, View
from shoal.core import encoding
from shoal.core.desired import ModelEntry, VersionEntry, encode
from shoal.core.messages import (
    NO_TIMINGS,
    READY,
    V1,
    V2,
    Batch,
    BatchDone,
    BatchQuery,
    BatchQueryReply,
    Closed,
    EndedExecutor,
    ExecutorReport,
    InferRequest,
    InferResponse,
    InstanceStatus,
    NotOwner,
    Reconcile,
    ReconcileReply,
    RequestKey,
    RunningBatch,
    StatisticsQuery,
    StatisticsReply,
)
from shoal.runtime.settings import to_environment

MODELS = "models"
_INFER_REQUEST, _ = encoding.SCHEMA[InferRequest]


async def until(condition: Callable[[], object], within_s: float = 15.0) -> None:
    """Wait for the condition; fails when it does not come true in time."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)


def start_scheduler(settings: BusSettings, log: Path) -> subprocess.Popen[bytes]:
    """`python -m shoal.scheduler` on this broker, its log appended to a file."""
    environment = {**os.environ, **to_environment(settings)}
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", "shoal.scheduler"], env=environment, stderr=output)


async def desire(bus: Bus, **config: Any) -> None:
    """Write the test's model into the desired state, with this configuration."""
    raw = {"name": MODEL, "max_batch_size": 8, **config}
    view = await View.open(bus, "desired")
    versions = {VERSION: VersionEntry(raw, {})}
    await view.put(MODEL, encode(ModelEntry(1, MODEL, GENERATION, "/models/m", "test", versions, (), "", {})))
    await view.close()


class Held(NamedTuple):
    """A batch that an executor holds; `requests` and `payloads` of its items."""

    batch: Batch
    sender: str
    requests: tuple[InferRequest, ...]
    payloads: tuple[bytes, ...]

    @property
    def keys(self) -> tuple[RequestKey, ...]:
        return tuple(found.key for found in self.requests)

    @property
    def ref(self) -> tuple[int, int]:
        return self.batch.epoch, self.batch.batch_id

    @property
    def deaths(self) -> tuple[int, ...]:
        return tuple(item.deaths for item in self.batch.items)


class Executor:
    """Holds batches until `finish`; reports to new owners and answers queries as a real one."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.held: list[Held] = []
        self.received: list[Held] = []
        self._owner = ("", 0)
        bus.on(Batch, self._on_batch)
        bus.on(BatchQuery, self._on_query)
        bus.watch_peers(self._on_peer)

    @classmethod
    async def join(cls, settings: BusSettings) -> Executor:
        executor = cls(await Bus.connect(settings, "executor", ("scheduler",)))
        await executor.bus.start()
        return executor

    def finish(self, held: Held) -> None:
        """Report to the owner, then answer."""
        self.held.remove(held)
        batch = held.batch
        self.bus.send(self._owner[0], BatchDone(V1, batch.epoch, batch.batch_id, batch.instance))
        for found in held.requests:
            response = InferResponse(V2, found.counter, 0, True, True, None, (), {}, NO_TIMINGS, False)
            self.bus.send(found.submitter, response)

    def status(self, state: str = READY) -> InstanceStatus:
        return InstanceStatus(MODEL, VERSION, GENERATION, "m_0_0", self.bus.incarnation, 0, state, "")

    def _on_batch(self, sender: str, batch: Batch, part: Part) -> None:
        if batch.epoch < self._owner[1]:
            return
        self._meet_owner(sender, batch.epoch)
        requests: list[InferRequest] = []
        payloads: list[bytes] = []
        offset = 0
        for header_nbytes, payload_nbytes, *_ in batch.items:
            found = encoding.decode(_INFER_REQUEST, part.payload[offset : offset + header_nbytes])
            assert isinstance(found, InferRequest)
            requests.append(found)
            offset += header_nbytes
            payloads.append(bytes(part.payload[offset : offset + payload_nbytes]))
            offset += payload_nbytes
        assert offset == len(part.payload)
        held = Held(batch, sender, tuple(requests), tuple(payloads))
        self.held.append(held)
        self.received.append(held)

    def _on_query(self, sender: str, query: BatchQuery, part: Part) -> None:
        known = {(held.batch.epoch, held.batch.batch_id) for held in self.received}
        unknown = tuple(batch_id for batch_id in query.batch_ids if (query.epoch, batch_id) not in known)
        self.bus.send(sender, BatchQueryReply(V1, query.epoch, unknown))

    def _on_peer(self, event: PeerEvent) -> None:
        if event.kind != "left":
            self._meet_owner(event.peer.incarnation, event.peer.heartbeat.owned.get(MODELS, 0))

    def _meet_owner(self, who: str, epoch: int) -> None:
        if epoch <= self._owner[1]:
            return
        self._owner = (who, epoch)
        running = tuple(
            RunningBatch(h.batch.epoch, h.batch.batch_id, h.batch.instance, h.keys, h.deaths) for h in self.held
        )
        self.bus.send(who, ExecutorReport(V2, epoch, running, ()))


class Agent:
    """Announces instances; `show` and `end` change what it announces."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._rows: tuple[InstanceStatus, ...] = ()
        self._ended: tuple[EndedExecutor, ...] = ()
        bus.body = lambda: HeartbeatBody(instances=self._rows, ended=self._ended)

    @classmethod
    async def join(cls, settings: BusSettings) -> Agent:
        agent = cls(await Bus.connect(settings, "agent"))
        await agent.bus.start()
        return agent

    def show(self, *rows: InstanceStatus) -> None:
        self._rows = rows
        self.bus.beat()

    def end(self, executor: Executor, cause: str, *executing: Held) -> None:
        """An executor has ended, and was executing these batches."""
        self._ended += (EndedExecutor(executor.bus.incarnation, cause, tuple(held.ref for held in executing)),)
        self._rows = tuple(row for row in self._rows if row.executor != executor.bus.incarnation)
        self.bus.beat()


class Submitter:
    """Sends requests to the owner and keeps what comes back."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.responses: dict[int, list[InferResponse]] = {}
        self.not_owned: list[int] = []
        self.closed: list[int] = []
        self.replies: list[tuple[str, ReconcileReply]] = []
        self.statistics: list[StatisticsReply] = []
        bus.on(InferResponse, self._on_response)
        bus.on(NotOwner, lambda sender, message, part: self.not_owned.extend(message.counters))
        bus.on(Closed, lambda sender, message, part: self.closed.extend(message.counters))
        bus.on(ReconcileReply, lambda sender, message, part: self.replies.append((sender, message)))
        bus.on(StatisticsReply, lambda sender, message, part: self.statistics.append(message))

    @classmethod
    async def join(cls, settings: BusSettings) -> Submitter:
        submitter = cls(await Bus.connect(settings, "gateway", ("scheduler", "executor", "agent")))
        await submitter.bus.start()
        return submitter

    @property
    def owner(self) -> str:
        """The scheduler that owns the models, empty while there is none."""
        found = {
            peer.heartbeat.owned[MODELS]: peer.incarnation
            for peer in self.bus.peers.values()
            if MODELS in peer.heartbeat.owned and not peer.suspected
        }
        return found[max(found)] if found else ""

    @property
    def standby(self) -> str:
        """A scheduler that does not own the models, empty while there is none."""
        schedulers = [peer for peer in self.bus.peers.values() if peer.role == "scheduler"]
        return next((peer.incarnation for peer in schedulers if not peer.heartbeat.owned), "")

    def send(self, *counters: int, to: str = "", payload: bytes = b"", **fields: Any) -> None:
        for counter in counters:
            message = request(counter, submitter=self.bus.incarnation, **fields)
            self.bus.send(to or self.owner, message, [payload])

    def ask(self, *counters: int, closing: tuple[int, ...] = ()) -> None:
        self.bus.send(self.owner, Reconcile(V2, counters, closing))

    def ask_statistics(self) -> None:
        self.bus.send(self.owner, StatisticsQuery(V1, 7))

    def _on_response(self, sender: str, response: InferResponse, part: Part) -> None:
        self.responses.setdefault(response.counter, []).append(response)
