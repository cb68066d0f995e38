"""A gateway process with everything around it scripted: agent, repository and schedulers are peers of the test itself.

Blocking HTTP clients have to run in a thread (`asyncio.to_thread`), so that the peers can go on answering.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gateway_models import entry, instance
from shoal.bus import Bus, BusSettings, HeartbeatBody, Part, View
from shoal.core.desired import RepositoryStatus, encode
from shoal.core.messages import (
    V1,
    V2,
    Cancel,
    Closed,
    InferRequest,
    InferResponse,
    Reconcile,
    ReconcileReply,
    StatisticsQuery,
    StatisticsReply,
    Timings,
)
from shoal.core.tensors import Tensor, TensorHeader, pack_inline, resolve
from shoal.memory import ArenaReader, host_id
from shoal.memory.settings import SHM_SERVER
from shoal.memory.sweep import sweep
from shoal.runtime.settings import to_environment

TIMINGS = Timings(1_000, 10, 20, 30)
START_TIMEOUT_S = 20.0


class Scheduler:
    """A scheduler peer that owns the models from the start; `answer` is what it does with a request.

    It knows what is in `requests`, and says so when it is asked: what is removed from there is unknown to it. It says
    of no request that it is closed, unless it is asked after one that it does not know; `closing` is what was asked.
    """

    def __init__(self, bus: Bus, epoch: int) -> None:
        self.bus = bus
        self.epoch = epoch
        self.requests: list[InferRequest] = []
        self.cancelled: list[int] = []
        self.asked: list[tuple[int, ...]] = []
        self.closing: list[tuple[int, ...]] = []
        self.reader = ArenaReader(host_id())
        self.answer: Callable[[str, InferRequest, Part], None] = self.add_and_subtract
        self._changed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def start(cls, settings: BusSettings, epoch: int) -> AsyncIterator[Scheduler]:
        bus = await Bus.connect(settings, role="scheduler", listen_to=("gateway",))
        scheduler = cls(bus, epoch)
        bus.body = lambda: HeartbeatBody(owned={"models": scheduler.epoch})
        bus.on(InferRequest, scheduler._on_request)
        bus.on(Cancel, scheduler._on_cancel)
        bus.on(Reconcile, scheduler._on_reconcile)
        bus.on(StatisticsQuery, scheduler._on_statistics_query)
        await bus.start()
        try:
            yield scheduler
        finally:
            await bus.close()

    def add_and_subtract(self, sender: str, request: InferRequest, part: Part) -> None:
        left, right = (
            np.frombuffer(self.read(header, part), "<i4").reshape(header.shape) for header in sorted(request.inputs)
        )
        self.respond(sender, request, SUM=left + right, DIFF=left - right)

    def read(self, header: TensorHeader, part: Part) -> memoryview | bytes:
        """The bytes of an input, wherever they are."""
        return resolve(header, part.payload, self.reader.copy).data

    def respond(self, sender: str, request: InferRequest, **outputs: np.ndarray[Any, np.dtype[np.int32]]) -> None:
        wanted = request.outputs or tuple(outputs)
        tensors = [
            Tensor(name, "INT32", value.shape, value.tobytes()) for name, value in outputs.items() if name in wanted
        ]
        headers, buffers = pack_inline(tensors)
        self.bus.send(
            sender, InferResponse(V2, request.counter, 0, True, True, None, headers, {}, TIMINGS, False), buffers
        )

    async def until(self, condition: Callable[[], bool], within_s: float = 10.0) -> None:
        """Wait for something that a message brings about."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def _on_request(self, sender: str, request: InferRequest, part: Part) -> None:
        if not self.bus.is_connected:
            return  # nor would the answer leave before the link is mended
        self.requests.append(request)
        self.answer(sender, request, part)
        self._changed.set()

    def _on_cancel(self, sender: str, cancel: Cancel, part: Part) -> None:
        self.cancelled += cancel.counters
        self._changed.set()

    def _on_reconcile(self, sender: str, reconcile: Reconcile, part: Part) -> None:
        self.asked.append(reconcile.counters)
        known = {request.counter for request in self.requests}
        unknown = tuple(counter for counter in reconcile.counters if counter not in known)
        self.bus.send(sender, ReconcileReply(V1, self.epoch, unknown, ()))
        self.closing.append(reconcile.closing)
        closed = tuple(counter for counter in reconcile.closing if counter not in known)
        if closed:
            self.bus.send(sender, Closed(V1, closed))
        self._changed.set()

    def _on_statistics_query(self, sender: str, query: StatisticsQuery, part: Part) -> None:
        self.bus.send(sender, StatisticsReply(V1, query.query_id, {}))


class GatewayProcess:
    """`python -m shoal.gateway --protocol http` on a free port of 127.0.0.1."""

    def __init__(
        self, settings: BusSettings, folder: Path, *flags: str, environment: Mapping[str, str] | None = None
    ) -> None:
        #: Marks what it leaves in shared memory when it is killed.
        self._server = folder.name[:40]
        self._log = folder / "gateway.log"
        self._port: int | None = None
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "shoal.gateway", "--protocol=http", "--http-address=127.0.0.1"),
                    *("--http-port=0", *flags),
                ],
                env={**os.environ, **to_environment(settings), SHM_SERVER: self._server, **(environment or {})},
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def port(self) -> int:
        if self._port is None:
            found = re.search(r'"http listening".*"port": (\d+)', self.log)
            assert found is not None, self.log
            self._port = int(found[1])
        return self._port

    async def started(self) -> None:
        """Wait until it listens and is ready."""
        for _ in range(int(START_TIMEOUT_S / 0.02)):
            if "http listening" in self.log:
                break
            assert self.process.poll() is None, self.log
            await asyncio.sleep(0.02)
        await self.ready_is(200)

    async def ready_is(self, status: int) -> None:
        """Wait until the server's readiness probe gives this status."""
        for _ in range(int(START_TIMEOUT_S / 0.02)):
            if (await self.get("/v2/health/ready"))[0] == status:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"readiness never became {status}: {self.log}")

    async def get(self, path: str) -> tuple[int, str, bytes]:
        return await self.ask("GET", path)

    async def post(self, path: str, document: Any = None) -> tuple[int, str, bytes]:
        return await self.ask("POST", path, None if document is None else json.dumps(document).encode())

    async def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """Status, content type and body of one exchange on a connection of its own."""
        return await asyncio.to_thread(self._ask, method, path, body, headers or {})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.getheader("content-type", ""), response.read()
        finally:
            connection.close()

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        return await asyncio.to_thread(self.process.wait, START_TIMEOUT_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        sweep(grace_s=0.0, server=self._server)


class Stage:
    """A ready gateway, the scheduler that it sends to, and the agent and repository that it believes."""

    def __init__(self, gateway: GatewayProcess, scheduler: Scheduler, agent: Bus, desired: View) -> None:
        self.gateway = gateway
        self.scheduler = scheduler
        self.agent = agent
        self.desired = desired

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: BusSettings,
        folder: Path,
        *configs: dict[str, Any],
        announced: tuple[str, ...] = (),
        flags: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Stage]:
        """Models with these configurations, all of version 1 and ready; `announced` have ready instances only.
        `flags` are the gateway's, and `environment` is added to its own."""
        agent = await Bus.connect(settings, role="agent", listen_to=())
        names = tuple(config["name"] for config in configs)
        instances = tuple(instance(name, 1) for name in names + announced)
        agent.body = lambda: HeartbeatBody(instances=instances)
        await agent.start()
        desired = await View.open(agent, "desired")
        repository = await View.open(agent, "repository")
        for config in configs:
            await desired.put(config["name"], encode(entry(config, 1)))
        await repository.put("status", encode(RepositoryStatus(1, True, names, "")))
        gateway: GatewayProcess | None = None
        try:
            async with Scheduler.start(settings, epoch=7) as scheduler:
                gateway = GatewayProcess(settings, folder, *flags, environment=environment)
                await gateway.started()
                yield cls(gateway, scheduler, agent, desired)
        finally:
            if gateway is not None:
                gateway.kill()
            await desired.close()
            await repository.close()
            await agent.close()
