"""A gRPC gateway process on a real broker, in front of a scripted scheduler, agent and repository."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import tritonclient.grpc as client
import tritonclient.grpc.aio as aio_client
from tritonclient.utils import InferenceServerException

from shoal.bus import Bus, BusSettings, HeartbeatBody, Part, View
from shoal.core import desired
from shoal.core.desired import ModelEntry, RepositoryStatus, VersionEntry
from shoal.core.errors import Code
from shoal.core.messages import (
    NO_TIMINGS,
    READY,
    V1,
    V2,
    Cancel,
    InferRequest,
    InferResponse,
    InstanceStatus,
    Reconcile,
    ReconcileReply,
    StatisticsQuery,
    StatisticsReply,
    Taken,
)
from shoal.core.tensors import resolve
from shoal.memory import Arena, ArenaReader, pack
from shoal.memory.settings import SHM_LIMIT, SHM_SERVER
from shoal.memory.sweep import sweep
from shoal.runtime.settings import to_environment

if TYPE_CHECKING:
    from broker_process import Broker

#: Of the gateway.
_SHM_NBYTES = 8 * 2**20
GENERATION = "0123456789abcdef"
CONFIG: dict[str, Any] = {
    "name": "echo",
    "backend": "scripted",
    "max_batch_size": 0,
    "input": [{"name": "INPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "OUTPUT0", "data_type": "TYPE_FP32", "dims": [-1]}],
    "instance_group": [{"name": "echo", "kind": "KIND_CPU", "count": 1}],
}


class Backstage:
    """What stands behind a gateway: one model whose requests are answered with their input, in shared memory.

    A request with the parameter `hold` is kept until it is cancelled; `cancelled` is set then.
    """

    def __init__(self, scheduler: Bus, agent: Bus) -> None:
        self._scheduler = scheduler
        self._agent = agent
        self._view: View | None = None
        self._held: dict[int, str] = {}
        self._given: dict[int, int] = {}
        self.arena = Arena.open(scheduler.incarnation, 64 * 2**20)
        self._reader = ArenaReader(self.arena.host)
        self.cancelled = asyncio.Event()
        self.held = asyncio.Event()

    async def open(self) -> None:
        self._scheduler.on(InferRequest, self._on_request)
        self._scheduler.on(Cancel, self._on_cancel)
        self._scheduler.on(Reconcile, self._on_reconcile)
        self._scheduler.on(Taken, self._on_taken)
        self._scheduler.on(StatisticsQuery, self._on_statistics)
        self._scheduler.body = lambda: HeartbeatBody(owned={"models": 1})
        status = InstanceStatus("echo", 1, GENERATION, "echo_0", "executor-x", 0, READY, "")
        self._agent.body = lambda: HeartbeatBody(backends=("scripted",), instances=(status,))
        await self._scheduler.start()
        await self._agent.start()
        versions = {1: VersionEntry(CONFIG, {})}
        entry = ModelEntry(1, "echo", GENERATION, "/nowhere", "scripted", versions, (), "", {})
        self._view = await View.open(self._agent, "desired", lambda key, value, revision: None)
        await self._view.put("echo", desired.encode(entry))
        repository = await View.open(self._agent, "repository", lambda key, value, revision: None)
        await repository.put("status", desired.encode(RepositoryStatus(1, True, ("echo",), "")))
        await repository.close()

    async def close(self) -> None:
        self.arena.close()
        if self._view is not None:
            await self._view.close()

    def _on_request(self, sender: str, request: InferRequest, part: Part) -> None:
        if request.parameters.get("hold"):
            self._held[request.counter] = sender
            self.held.set()
            return
        (header,) = request.inputs
        tensor = resolve(header, part.payload, self._reader.copy)
        headers, buffers, block = pack([tensor._replace(name="OUTPUT0")], self.arena, sender)
        if block is not None:
            self._given[request.counter] = block.generation
        answer = InferResponse(V2, request.counter, 0, True, True, None, headers, {}, NO_TIMINGS, False)
        self._scheduler.send(sender, answer, buffers)

    def _on_cancel(self, sender: str, message: Cancel, part: Part) -> None:
        for counter in message.counters:
            if self._held.pop(counter, None) is not None:
                self.cancelled.set()
                error = (int(Code.CANCELLED), "cancelled")
                refusal = InferResponse(V2, counter, 0, True, False, error, (), {}, NO_TIMINGS, False)
                self._scheduler.send(sender, refusal)

    def _on_reconcile(self, sender: str, message: Reconcile, part: Part) -> None:
        unknown = tuple(counter for counter in message.counters if counter not in self._held)
        self._scheduler.send(sender, ReconcileReply(V1, 1, unknown, ()))

    def _on_taken(self, sender: str, message: Taken, part: Part) -> None:
        for counter, _ in message.answers:
            generation = self._given.pop(counter, None)
            if generation is not None:
                self.arena.free(generation)

    def _on_statistics(self, sender: str, message: StatisticsQuery, part: Part) -> None:
        self._scheduler.send(sender, StatisticsReply(V1, message.query_id, {}))


class Endpoint(NamedTuple):
    """A ready gateway process, its client (tritonclient has no types) and what stands behind it."""

    process: asyncio.subprocess.Process
    triton: Any
    backstage: Backstage


@asynccontextmanager
async def connected(settings: BusSettings, role: str) -> AsyncIterator[Bus]:
    bus = await Bus.connect(settings, role=role, listen_to=("gateway",))
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def gateway(settings: BusSettings, transport: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A gateway process and its port, as soon as it listens."""
    server = token_hex(8)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "shoal.gateway", "--protocol=grpc", f"--grpc-transport={transport}"),
        *("--grpc-address=127.0.0.1", "--grpc-port=0"),
        env={**os.environ, **to_environment(settings), SHM_LIMIT: str(_SHM_NBYTES), SHM_SERVER: server},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while True:
            line = await asyncio.wait_for(process.stderr.readline(), 30)
            assert line, f"ended with {await process.wait()}"
            event = json.loads(line)
            if event["event"] == "grpc listening":
                break
        yield process, event["port"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        sweep(grace_s=0.0, server=server)


@pytest.fixture(params=["envoy", "grpcio"])
async def endpoint(request: pytest.FixtureRequest, broker: Broker) -> AsyncIterator[Endpoint]:
    settings = broker.settings()
    async with connected(settings, "scheduler") as scheduler, connected(settings, "agent") as agent:
        backstage = Backstage(scheduler, agent)
        await backstage.open()
        async with (
            gateway(settings, request.param) as (process, port),
            aio_client.InferenceServerClient(f"127.0.0.1:{port}") as triton,
        ):
            await until_ready(triton)
            yield Endpoint(process, triton, backstage)
        await backstage.close()


async def until_ready(triton: Any) -> None:
    await until(triton.is_server_ready)


async def until(happened: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while True:
            if await happened():
                return
            await asyncio.sleep(0.05)


def tensor(elements: int) -> list[Any]:
    given = client.InferInput("INPUT0", [elements], "FP32")
    given.set_data_from_numpy(np.arange(elements, dtype=np.float32))
    return [given]


@pytest.mark.parametrize("elements", [0, 16, 1_000_000])
async def test_a_request_goes_through_the_bus_and_back(endpoint: Endpoint, elements: int) -> None:
    result = await endpoint.triton.infer("echo", tensor(elements), request_id="r")
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), np.arange(elements, dtype=np.float32))
    assert result.get_response().id == "r"


async def test_outputs_in_shared_memory_are_released(endpoint: Endpoint) -> None:
    for _ in range(3):
        await endpoint.triton.infer("echo", tensor(100_000))

    async def is_free() -> bool:
        return endpoint.backstage.arena.held() == []

    await until(is_free)


async def test_inputs_without_room_in_shared_memory_are_refused(endpoint: Endpoint) -> None:
    holding = asyncio.create_task(endpoint.triton.infer("echo", tensor(1_000_000), parameters={"hold": True}))
    await asyncio.wait_for(endpoint.backstage.held.wait(), 5)
    with pytest.raises(InferenceServerException, match="shared memory is full") as caught:
        await endpoint.triton.infer("echo", tensor(1_500_000))
    assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
    with pytest.raises(InferenceServerException, match="raise --shm-limit") as caught:
        await endpoint.triton.infer("echo", tensor(3_000_000))
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    holding.cancel()
    await asyncio.wait_for(endpoint.backstage.cancelled.wait(), 5)
    # A scheduler that answers itself has no use for the inputs.
    async with asyncio.timeout(5):
        while True:
            try:
                await endpoint.triton.infer("echo", tensor(1_500_000))
            except InferenceServerException:
                await asyncio.sleep(0.05)
            else:
                break


async def test_the_model_is_described(endpoint: Endpoint) -> None:
    triton = endpoint.triton
    assert await triton.is_model_ready("echo", "1") and not await triton.is_model_ready("echo", "2")
    assert (await triton.get_model_metadata("echo")).outputs[0].name == "OUTPUT0"
    assert (await triton.get_model_config("echo")).config.instance_group[0].count == 1
    assert [row.state for row in (await triton.get_model_repository_index()).models] == ["READY"]


async def test_answers_are_counted(endpoint: Endpoint) -> None:
    for _ in range(3):
        await endpoint.triton.infer("echo", tensor(4))
    (row,) = (await endpoint.triton.get_inference_statistics("echo")).model_stats
    assert row.inference_stats.success.count == 3


async def test_errors_of_the_gateway_reach_the_client(endpoint: Endpoint) -> None:
    with pytest.raises(InferenceServerException) as caught:
        await endpoint.triton.infer("nobody", tensor(4))
    assert caught.value.status() == "StatusCode.NOT_FOUND"
    with pytest.raises(InferenceServerException) as caught:
        await endpoint.triton.infer("echo", [])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


async def test_a_client_that_leaves_cancels_the_request_at_the_scheduler(endpoint: Endpoint) -> None:
    asking = asyncio.create_task(endpoint.triton.infer("echo", tensor(4), parameters={"hold": True}))
    await asyncio.wait_for(endpoint.backstage.held.wait(), 5)
    asking.cancel()
    await asyncio.wait_for(endpoint.backstage.cancelled.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_deadline_cancels_the_request_at_the_scheduler(endpoint: Endpoint) -> None:
    with pytest.raises(InferenceServerException) as caught:
        await endpoint.triton.infer("echo", tensor(4), parameters={"hold": True}, client_timeout=0.3)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    await asyncio.wait_for(endpoint.backstage.cancelled.wait(), 5)


async def test_the_gateway_is_not_ready_while_the_broker_is_away(endpoint: Endpoint, broker: Broker) -> None:
    broker.kill()

    async def is_unready() -> bool:
        return not await endpoint.triton.is_server_ready()

    await until(is_unready)
    assert await endpoint.triton.is_server_live()
    broker.start()
    await until_ready(endpoint.triton)
    await endpoint.triton.infer("echo", tensor(4))


async def test_a_signal_ends_the_process_well(endpoint: Endpoint) -> None:
    endpoint.process.terminate()
    assert await asyncio.wait_for(endpoint.process.wait(), 15) == 0


async def test_a_signal_ends_the_wait_for_the_broker() -> None:
    nowhere = BusSettings(url="nats://127.0.0.1:1", connect_timeout_s=60)
    for transport in ("envoy", "grpcio"):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "shoal.gateway", "--protocol=grpc", f"--grpc-transport={transport}", "--grpc-port=0"),
            env={**os.environ, **to_environment(nowhere)},
            stderr=asyncio.subprocess.DEVNULL,
        )
        await asyncio.sleep(2)
        assert process.returncode is None
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0
