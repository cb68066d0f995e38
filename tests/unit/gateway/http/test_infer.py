from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from client_files import ClientFile
from gateway_models import add_sub, one_input
from local_shared import LocalShared
from shoal.core.model_config import from_json
from shoal.gateway.admission import Admission
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.infer import InferRoute
from shoal.gateway.models import ServedVersion
from shoal.gateway.normalize import Checked
from shoal.gateway.regions import Regions
from shoal.gateway.request import InferAnswer
from shoal.gateway.scattered import contiguous

Execute = Callable[[Checked], Awaitable[InferAnswer]]


def route_to(
    served: ServedVersion, admission: Admission, execute: Execute | None = None, shared: LocalShared | None = None
) -> InferRoute:
    """The route of a gateway that has this model."""
    gateway = SimpleNamespace(
        admission=admission,
        models=SimpleNamespace(find=lambda *_: served),
        regions=Regions(shared or LocalShared(), is_allowed=shared is not None),
        header_forwarding=None,
        execute=execute,
    )
    return InferRoute(cast(Gateway, gateway), Disconnects(), 1_000_000)


@pytest.mark.parametrize(("in_flight_nbytes", "status"), [(0, 400), (50_000, 429)])
async def test_a_compressed_body_counts_with_its_plain_size(in_flight_nbytes: int, status: int) -> None:
    served = ServedVersion("addsub", 1, "g1", from_json(add_sub()), {})
    admission = Admission(max_bytes=50_000 + in_flight_nbytes)
    admission.enter(in_flight_nbytes, "addsub")
    route = route_to(served, admission)
    body = gzip.compress(b" " * 100_000)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-encoding", b"gzip"), (b"content-length", b"%d" % len(body))]
    await route({"method": "POST", "headers": headers}, receive, send, "addsub", None)
    assert sent[0]["status"] == status
    assert (admission.requests, admission.nbytes) == (1, in_flight_nbytes)


async def test_a_body_is_let_go_of_while_its_request_is_executed() -> None:
    served = ServedVersion("m", 1, "g1", from_json(one_input("TYPE_UINT8", [-1])), {})
    executing = asyncio.Event()

    def execute(checked: Checked) -> asyncio.Future[InferAnswer]:
        executing.set()
        return asyncio.get_running_loop().create_future()

    route = route_to(served, Admission(), execute)
    tensor = {"name": "X", "datatype": "UINT8", "shape": [9000], "parameters": {"binary_data_size": 9000}}
    document = orjson.dumps({"inputs": [tensor]})
    chunks = [document + bytes(4000), bytes(5000)]
    coming = [{"body": chunk, "more_body": more} for chunk, more in zip(chunks, (True, False), strict=True)]

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", **coming.pop(0)}

    async def send(message: MutableMapping[str, Any]) -> None:
        raise AssertionError(message)

    before = [sys.getrefcount(chunk) for chunk in chunks]
    headers = [(b"inference-header-content-length", b"%d" % len(document))]
    task = asyncio.create_task(route({"method": "POST", "headers": headers}, receive, send, "m", None))
    await executing.wait()
    # Only the messages had referred to them besides.
    assert [sys.getrefcount(chunk) for chunk in chunks] == [count - 1 for count in before]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("max_bytes", "status"), [(50_000, 200), (10_000, 400)])
async def test_a_region_that_was_just_registered_elsewhere_is_read_and_counted(max_bytes: int, status: int) -> None:
    served = ServedVersion("m", 1, "g1", from_json(one_input("TYPE_UINT8", [-1])), {})
    shared, admission = LocalShared(), Admission(max_bytes=max_bytes)
    counted: list[int] = []

    async def execute(checked: Checked) -> InferAnswer:
        counted.append(admission.nbytes)
        return InferAnswer("m", 1, "", (contiguous(checked.call.inputs[0])._replace(name="Y"),), {})

    route = route_to(served, admission, execute, shared)
    place = {"shared_memory_region": "r", "shared_memory_byte_size": 20_000}
    document = orjson.dumps(
        {
            "inputs": [{"name": "X", "datatype": "UINT8", "shape": [20_000], "parameters": place}],
            "outputs": [{"name": "Y", "parameters": {"binary_data": True}}],
        }
    )
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": document}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    file = ClientFile("test-infer-region", b"x" * 20_000)
    try:
        shared.behind = []
        await Regions(shared, is_allowed=True).register_system("r", file.key, 0, 20_000)
        await route({"method": "POST", "headers": []}, receive, send, "m", None)
    finally:
        file.remove()
    assert sent[0]["status"] == status
    if status == 200:
        assert counted == [len(document) + 20_000]
        assert sent[1]["body"].endswith(b"x" * 20_000)
    assert admission.nbytes == 0
