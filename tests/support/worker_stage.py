"""A worker as processes of its own, and the peers it meets, a scheduler and a submitter, played by the test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from requests_to_execute import infer_request
from shoal.bus import Bus, BusSettings, HeartbeatBody, Part, View
from shoal.core import desired, encoding
from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.messages import (
    READY,
    V2,
    Batch,
    BatchDone,
    BatchItem,
    BatchQueryReply,
    DescribeReply,
    ExecutorReport,
    HoldQuery,
    InferRequest,
    InferResponse,
    InstanceStatus,
    Message,
    StatisticsReply,
)
from shoal.core.tensors import Tensor, resolve
from shoal.memory import SHM, Arena, ArenaReader, host_id
from shoal.memory.sweep import sweep
from shoal.runtime.parent_death import child_environment
from shoal.runtime.settings import to_environment

WAIT_S = 20.0

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Floats = npt.NDArray[np.float32]


async def eventually(condition: Callable[[], T], what: str, deadline_s: float = WAIT_S) -> T:
    """The first true value of `condition`, looked at every 5 ms."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + deadline_s
    while not (value := condition()):
        assert loop.time() < deadline, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.005)
    return value


class Received(NamedTuple):
    sender: str
    message: Message
    payload: bytes


class Peer:
    """A process on the bus; remembers in order what it gets."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.received: list[Received] = []
        for kind in (
            BatchDone,
            BatchQueryReply,
            DescribeReply,
            ExecutorReport,
            HoldQuery,
            InferResponse,
            StatisticsReply,
        ):
            bus.on(kind, self._take)

    def _take(self, sender: str, message: Message, part: Part) -> None:
        self.received.append(Received(sender, message, bytes(part.payload)))

    def of(self, kind: type[M]) -> list[M]:
        return [r.message for r in self.received if isinstance(r.message, kind)]

    async def first(self, kind: type[M]) -> M:
        return (await eventually(lambda: self.of(kind), f"a {kind.__name__}"))[0]


class Answer(NamedTuple):
    """An answer with its FP32 outputs as arrays; BYTES and others stay bytes."""

    message: InferResponse
    outputs: dict[str, Floats]
    raw: dict[str, bytes]


class Breakable(Protocol):
    """The broker, as far as a stage needs it."""

    def settings(self) -> BusSettings: ...
    def start(self, empty: bool = False) -> None: ...
    def kill(self) -> None: ...


class Stage:
    """Everything around one worker. Make it with `open`; `stack` ends what it started."""

    def __init__(self, broker: Breakable, directory: Path, stack: AsyncExitStack) -> None:
        self.broker = broker
        self._settings = broker.settings()
        self.directory = directory
        self._stack = stack
        self.epoch = 1_000
        self.scheduler: Peer
        self.submitter: Peer
        self.view: View
        #: For what the submitter shares with the worker, and reads of it.
        self.arena: Arena
        self.reader = ArenaReader(host_id())
        self.agents: list[subprocess.Popen[bytes]] = []
        self._batches = 0
        self._counter = 0

    @classmethod
    async def open(cls, broker: Breakable, directory: Path, stack: AsyncExitStack) -> Stage:
        stage = cls(broker, directory, stack)
        # Workers are killed at the end, and cannot clean up after themselves.
        stack.callback(sweep)
        stage.scheduler = await stage.peer("scheduler", owned=lambda: {"models": stage.epoch})
        stage.submitter = await stage.peer("gateway")
        stage.arena = Arena.open(stage.submitter.bus.incarnation, 2**28)
        stack.callback(stage.arena.close)
        stack.callback(stage.reader.close)
        stage.view = await View.open(stage.scheduler.bus, "desired")
        stack.push_async_callback(stage.view.close)
        return stage

    async def peer(self, role: str, owned: Callable[[], dict[str, int]] = dict) -> Peer:
        bus = await Bus.connect(self._settings, role, ("agent", "executor"))
        self._stack.push_async_callback(bus.close)
        peer = Peer(bus)
        bus.body = lambda: HeartbeatBody(owned=owned())
        await bus.start()
        return peer

    def start_agent(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker; its log goes to `agent.log`."""
        environment = child_environment(to_environment(self._settings))
        with (self.directory / "agent.log").open("ab") as log:
            agent = subprocess.Popen(
                [sys.executable, "-P", "-m", "shoal.workers", *options], env=environment, stdout=log, stderr=log
            )
        self.agents.append(agent)
        self._stack.callback(_end, agent)
        return agent

    async def desire(self, config: Mapping[str, Any], generation: str = "generation-1", reason: str = "") -> None:
        """Make version 1 of a model desired; its files are in `directory/<name>/1`."""
        name = config["name"]
        versions = {} if reason else {1: VersionEntry(dict(config), {})}
        path = str(self.directory / name)
        entry = ModelEntry(1, name, generation, path, config["backend"], versions, (), reason, {})
        await self.view.put(name, desired.encode(entry))

    def instances(self) -> list[InstanceStatus]:
        agents = [p for p in self.scheduler.bus.peers.values() if p.role == "agent" and not p.suspected]
        return [status for agent in agents for status in agent.heartbeat.instances]

    async def in_state(self, state: str, count: int = 1, deadline_s: float = WAIT_S) -> list[InstanceStatus]:
        """The instances in this state, once there are `count` of them."""

        def found() -> list[InstanceStatus]:
            matching = [status for status in self.instances() if status.state == state]
            return matching if len(matching) == count else []

        return await eventually(found, f"{count} instances {state}; last: {self.instances()}", deadline_s)

    async def ready(self, count: int = 1, deadline_s: float = WAIT_S) -> list[InstanceStatus]:
        return await self.in_state(READY, count, deadline_s)

    def segments(self, instance: InstanceStatus) -> list[str]:
        """The files in shared memory that the instance's executor has."""
        return [path.name for path in SHM.glob(f"shoal-{instance.executor}-*")]

    def executor_pid(self, instance: InstanceStatus) -> int:
        return self.scheduler.bus.peers[instance.executor].heartbeat.pid

    async def known(self, instance: InstanceStatus) -> None:
        """Wait until the instance's executor was heard."""
        await eventually(lambda: instance.executor in self.scheduler.bus.peers, "the executor's heartbeat")

    def request(self, inputs: Iterable[Tensor], **fields: Any) -> tuple[InferRequest, list[bytes]]:
        """A request of the submitter, and its payload; large inputs lie there as well unless `arena` is given."""
        self._counter += 1
        known: dict[str, Any] = {
            "counter": self._counter,
            "submitter": self.submitter.bus.incarnation,
            "model": "add_sub",
            "generation": "generation-1",
        }
        made, payload = infer_request(*inputs, **(known | fields))
        return made, [payload]

    def send_batch(
        self,
        instance: InstanceStatus,
        requests: Sequence[tuple[InferRequest, list[bytes]]],
        *,
        scheduler: Peer | None = None,
        epoch: int | None = None,
        batch_id: int | None = None,
        queue_us: int = 10,
    ) -> int:
        """Have the scheduler send these requests as one batch; returns its id."""
        self._batches += 1
        number = self._batches if batch_id is None else batch_id
        items: list[BatchItem] = []
        payload: list[bytes] = []
        for request, buffers in requests:
            header = encoding.encode(request)
            items.append(BatchItem(len(header), sum(map(len, buffers)), queue_us, 0))
            payload += [header, *buffers]
        batch = Batch(V2, self.epoch if epoch is None else epoch, number, instance.slot, "full", tuple(items))
        (scheduler or self.scheduler).bus.send(instance.executor, batch, payload)
        return number

    def answers(self, counter: int) -> list[Received]:
        """All answers to one request so far."""
        return [
            r for r in self.submitter.received if isinstance(r.message, InferResponse) and r.message.counter == counter
        ]

    async def answer(self, request: InferRequest) -> Answer:
        received = (await eventually(lambda: self.answers(request.counter), f"an answer to {request.counter}"))[0]
        assert isinstance(received.message, InferResponse)
        payload = memoryview(received.payload)
        raw = {
            header.name: bytes(resolve(header, payload, self.reader.copy).data) for header in received.message.outputs
        }
        outputs = {
            header.name: np.frombuffer(raw[header.name], np.float32).reshape(header.shape)
            for header in received.message.outputs
            if header.datatype == "FP32"
        }
        return Answer(received.message, outputs, raw)


def floats(name: str, rows: Sequence[Sequence[float]]) -> Tensor:
    array = np.array(rows, np.float32)
    return Tensor(name, "FP32", array.shape, array.tobytes())


def children_of(pid: int) -> list[int]:
    """Process ids of the direct children."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()]


def _end(agent: subprocess.Popen[bytes]) -> None:
    if agent.poll() is None:
        os.kill(agent.pid, signal.SIGKILL)
    agent.wait(10)
