"""Shared memory of clients between gateway processes and scripted peers: who reads and writes which file, and when."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from broker_process import Broker
from client_files import ClientFile
from gateway_executor import ExecutorPeer
from gateway_models import one_input
from gateway_stage import GatewayProcess, Stage
from shoal.bus import Part
from shoal.core.messages import InferRequest
from shoal.memory import SHM
from shoal.memory.segment_files import segments as segments_of

KIB = 1024
BASE = "/v2/systemsharedmemory"
INFER = "/v2/models/m/infer"
ALLOWED = "--allow-client-shm=true"
#: Large enough to be read and written in a thread.
CONTENT = np.random.default_rng(7).bytes(1500 * KIB)

MakeFile = Callable[[bytes], ClientFile]


@pytest.fixture
def make_file() -> Iterator[MakeFile]:
    """Makes objects of a client, and removes them in the end."""
    made: list[ClientFile] = []

    def make(content: bytes) -> ClientFile:
        made.append(ClientFile(f"test-client-{uuid4().hex}", content))
        return made[-1]

    yield make
    for file in made:
        file.remove()


@pytest.fixture
async def stage(broker: Broker, tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway where clients may register memory, in front of a scheduler that never answers."""
    config = one_input("TYPE_UINT8", [-1])
    async with Stage.open(broker.settings(), tmp_path, config, flags=(ALLOWED,)) as stage:
        stage.scheduler.answer = silent
        yield stage


@pytest.fixture
async def executor(broker: Broker) -> AsyncIterator[ExecutorPeer]:
    async with ExecutorPeer.start(broker.settings()) as executor:
        yield executor


def silent(sender: str, request: InferRequest, part: Part) -> None:
    """A scheduler that never answers."""


@asynccontextmanager
async def another_gateway(broker: Broker, folder: Path, *flags: str) -> AsyncIterator[GatewayProcess]:
    (folder / "another").mkdir()
    gateway = GatewayProcess(broker.settings(), folder / "another", *flags)
    try:
        await gateway.started()
        yield gateway
    finally:
        gateway.kill()


def place(name: str, nbytes: int, offset: int = 0) -> dict[str, Any]:
    return {"shared_memory_region": name, "shared_memory_byte_size": nbytes, "shared_memory_offset": offset}


def document(given: str, nbytes: int, wanted: str | None = None) -> dict[str, Any]:
    """A request with so many bytes of the region `given`, whose output goes to all of the region `wanted`."""
    inputs = [{"name": "X", "datatype": "UINT8", "shape": [nbytes], "parameters": place(given, nbytes)}]
    output = {"binary_data": True} if wanted is None else place(wanted, nbytes)
    return {"inputs": inputs, "outputs": [{"name": "Y", "parameters": output}]}


async def register(gateway: GatewayProcess, name: str, file: ClientFile) -> None:
    status, _, body = await gateway.post(
        f"{BASE}/region/{name}/register", {"key": file.key, "byte_size": len(file.read())}
    )
    assert (status, body) == (200, b"")


async def unregister(gateway: GatewayProcess, name: str) -> None:
    assert (await gateway.post(f"{BASE}/region/{name}/unregister"))[0] == 200


async def refusal(gateway: GatewayProcess, path: str, body: Any) -> tuple[int, str]:
    status, _, answer = await gateway.post(path, body)
    return status, json.loads(answer)["error"]


async def arrived(stage: Stage, count: int = 1) -> InferRequest:
    await stage.scheduler.until(lambda: len(stage.scheduler.requests) == count)
    return stage.scheduler.requests[-1]


def input_of(stage: Stage, request: InferRequest) -> bytes:
    (header,) = request.inputs
    return bytes(stage.scheduler.reader.copy(header.ref))  # type: ignore[arg-type]  # large: in an arena


async def test_large_tensors_come_from_one_region_and_go_to_another(
    stage: Stage, executor: ExecutorPeer, make_file: MakeFile
) -> None:
    given, wanted = make_file(CONTENT), make_file(bytes(len(CONTENT) + 5))
    await register(stage.gateway, "in", given)
    await register(stage.gateway, "out", wanted)
    asking = asyncio.create_task(stage.gateway.post(INFER, document("in", len(CONTENT), "out")))
    request = await arrived(stage)
    assert input_of(stage, request) == CONTENT
    executor.answer(request, {"Y": CONTENT[::-1]})
    status, content_type, body = await asking
    assert (status, content_type) == (200, "application/json")
    assert json.loads(body)["outputs"] == [{"name": "Y", "datatype": "UINT8", "shape": [len(CONTENT)]}]
    assert wanted.read() == CONTENT[::-1] + bytes(5)


async def test_a_region_that_the_client_has_shrunk_is_an_error_and_nobody_dies(
    stage: Stage, executor: ExecutorPeer, make_file: MakeFile
) -> None:
    given, wanted = make_file(CONTENT), make_file(bytes(len(CONTENT)))
    await register(stage.gateway, "in", given)
    await register(stage.gateway, "out", wanted)
    given.shrink(1000)
    status, text = await refusal(stage.gateway, INFER, document("in", len(CONTENT)))
    assert status == 400
    for part in ("region 'in' has shrunk", f"{len(CONTENT)} bytes at offset 0 were asked for", "1000 are there"):
        assert part in text
    given.path.write_bytes(CONTENT)
    asking = asyncio.create_task(refusal(stage.gateway, INFER, document("in", len(CONTENT), "out")))
    request = await arrived(stage)
    wanted.shrink(0)
    executor.answer(request, {"Y": CONTENT})
    status, text = await asking
    assert (status, "region 'out' has shrunk" in text) == (400, True)
    assert wanted.read() == b""


async def test_a_request_in_flight_keeps_its_regions(stage: Stage, executor: ExecutorPeer, make_file: MakeFile) -> None:
    given, wanted, successor = make_file(CONTENT), make_file(bytes(len(CONTENT))), make_file(bytes(len(CONTENT)))
    await register(stage.gateway, "in", given)
    await register(stage.gateway, "out", wanted)
    asking = asyncio.create_task(stage.gateway.post(INFER, document("in", len(CONTENT), "out")))
    request = await arrived(stage)
    assert (await stage.gateway.post(f"{BASE}/unregister"))[0] == 200
    assert (await refusal(stage.gateway, INFER, document("in", 8)))[0] == 404
    await register(stage.gateway, "out", successor)
    executor.answer(request, {"Y": CONTENT})
    assert (await asking)[0] == 200
    assert wanted.read() == CONTENT
    assert successor.read() == bytes(len(CONTENT))
    for file in (given, wanted):
        assert open_at(stage.gateway, file) == 0


def open_at(gateway: GatewayProcess, file: ClientFile) -> int:
    """How many descriptors of the gateway are open for a file."""
    links = Path(f"/proc/{gateway.process.pid}/fd").iterdir()
    return sum(str(link.readlink()) == str(file.path) for link in links)


async def test_the_output_of_a_client_that_left_is_not_written(
    stage: Stage, executor: ExecutorPeer, make_file: MakeFile
) -> None:
    given, wanted = make_file(CONTENT), make_file(bytes(len(CONTENT)))
    await register(stage.gateway, "in", given)
    await register(stage.gateway, "out", wanted)
    body = json.dumps(document("in", len(CONTENT), "out")).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.port)
    writer.write(b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (INFER.encode(), len(body)) + body)
    await writer.drain()
    request = await arrived(stage)
    writer.close()
    await stage.scheduler.until(lambda: stage.scheduler.cancelled == [request.counter])
    executor.answer(request, {"Y": CONTENT})
    asking = asyncio.create_task(stage.gateway.post(INFER, document("in", 8)))
    executor.answer(await arrived(stage, 2), {"Y": b"y"})
    assert (await asking)[0] == 200
    assert wanted.read() == bytes(len(CONTENT))


async def test_nothing_but_a_client_s_own_object_can_be_registered(
    stage: Stage, executor: ExecutorPeer, make_file: MakeFile, tmp_path: Path
) -> None:
    executor.arena.allocate(5000, "scheduler")
    (tmp_path / "secret").write_bytes(b"secret")
    link = make_file(b"x")
    link.remove()
    link.path.symlink_to(tmp_path / "secret")
    keys = [link.key, f"/../{tmp_path.relative_to('/')}/secret", "..", "/", "/./x", "", "shm/../../etc/hostname"]
    for key in keys:
        status, text = await refusal(stage.gateway, f"{BASE}/region/r/register", {"key": key, "byte_size": 1})
        assert (status, "Unable to open shared memory region" in text) == (500, True), key
    segments = [path.name for path, owner in segments_of(SHM) if owner == executor.arena.owner]
    assert segments
    for key in segments:
        status, text = await refusal(stage.gateway, f"{BASE}/region/r/register", {"key": key, "byte_size": 1})
        assert (status, "contains the reserved prefix" in text) == (400, True)
    assert json.loads((await stage.gateway.get(f"{BASE}/status"))[2]) == []


async def test_what_one_gateway_registers_another_serves_at_once(
    stage: Stage, broker: Broker, executor: ExecutorPeer, make_file: MakeFile, tmp_path: Path
) -> None:
    file = make_file(CONTENT)
    async with another_gateway(broker, tmp_path, ALLOWED) as other:
        for number, (asked, told) in enumerate(((other, stage.gateway), (stage.gateway, other)), start=1):
            await register(told, "r", file)
            asking = asyncio.create_task(asked.post(INFER, document("r", len(CONTENT))))
            request = await arrived(stage, number)
            assert input_of(stage, request) == CONTENT
            executor.answer(request, {"Y": b"y"})
            assert (await asking)[0] == 200
            assert (await refusal(asked, f"{BASE}/region/r/register", {"key": file.key, "byte_size": 1}))[0] == 400
            await unregister(asked, "r")
            assert (await refusal(told, INFER, document("r", 8)))[0] == 404
            assert json.loads((await told.get(f"{BASE}/status"))[2]) == []


async def test_a_gateway_that_starts_later_knows_the_regions_and_one_that_ends_leaves_them(
    stage: Stage, broker: Broker, executor: ExecutorPeer, make_file: MakeFile, tmp_path: Path
) -> None:
    file = make_file(CONTENT)
    await register(stage.gateway, "r", file)
    async with another_gateway(broker, tmp_path, ALLOWED) as other:
        asking = asyncio.create_task(other.post(INFER, document("r", len(CONTENT))))
        executor.answer(await arrived(stage), {"Y": b"y"})
        assert (await asking)[0] == 200
        other.process.send_signal(signal.SIGTERM)
        assert await other.ended() == 0
    assert file.read() == CONTENT
    assert len(json.loads((await stage.gateway.get(f"{BASE}/status"))[2])) == 1


async def test_clients_may_register_nothing_unless_it_is_allowed(
    broker: Broker, make_file: MakeFile, tmp_path: Path
) -> None:
    file = make_file(b"0123")
    async with Stage.open(broker.settings(), tmp_path, one_input("TYPE_UINT8", [-1])) as stage:
        for path in (f"{BASE}/region/r/register", f"{BASE}/unregister", "/v2/cudasharedmemory/unregister"):
            status, text = await refusal(stage.gateway, path, {"key": file.key, "byte_size": 4})
            assert (status, text) == (
                501,
                "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
            )
        assert (await stage.gateway.get(f"{BASE}/status"))[2] == b"[]"
        assert (await refusal(stage.gateway, INFER, document("r", 4)))[0] == 404
