from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from gateway_models import add_sub, one_input
from shoal.core.model_config import from_json
from shoal.gateway.admission import Admission
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.infer import InferRoute
from shoal.gateway.models import ServedVersion
from shoal.gateway.normalize import Checked
from shoal.gateway.request import InferAnswer


@pytest.mark.parametrize(("in_flight_nbytes", "status"), [(0, 400), (50_000, 429)])
async def test_a_compressed_body_counts_with_its_plain_size(in_flight_nbytes: int, status: int) -> None:
    served = ServedVersion("addsub", 1, "g1", from_json(add_sub()), {})
    admission = Admission(max_bytes=50_000 + in_flight_nbytes)
    admission.enter(in_flight_nbytes)
    gateway = SimpleNamespace(admission=admission, models=SimpleNamespace(find=lambda *_: served))
    route = InferRoute(cast(Gateway, gateway), Disconnects(), 1_000_000)
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

    gateway = SimpleNamespace(admission=Admission(), models=SimpleNamespace(find=lambda *_: served), execute=execute)
    route = InferRoute(cast(Gateway, gateway), Disconnects(), 1_000_000)
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
