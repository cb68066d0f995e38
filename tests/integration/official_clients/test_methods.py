"""Every public method of the four official clients, each driven against a server.

Which methods there are is asked of the clients: one that a later version adds fails here until it is driven.
"""

from __future__ import annotations

import base64
import http.client
import json
import queue
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException, shared_memory

from client_stage import FLAVORS, Client, Flavor, connected
from shoal_server import Server

pytestmark = pytest.mark.slow

Driver = Callable[[Client], Awaitable[None]]

DRIVERS: dict[str, Driver] = {}
METHODS = [(flavor, method) for flavor in FLAVORS for method in flavor.methods]
#: Where the JSON part of a body ends.
LENGTH = "Inference-Header-Content-Length"


def drives(*methods: str) -> Callable[[Driver], Driver]:
    """The decorated function calls these methods, where the client has them."""

    def register(driver: Driver) -> Driver:
        DRIVERS.update(dict.fromkeys(methods, driver))
        return driver

    return register


@pytest.mark.parametrize(("flavor", "method"), METHODS, ids=[f"{flavor.name}-{method}" for flavor, method in METHODS])
async def test_every_method_is_served(server: Server, flavor: Flavor, method: str) -> None:
    assert method in DRIVERS, f"nothing drives {method} of tritonclient.{flavor.name}"
    async with connected(flavor, server) as client:
        await DRIVERS[method](client)
    assert method in client.called


def query(client: Client) -> dict[str, Any]:
    """Headers, and for HTTP a query string, both of which mean nothing to the server. They are the call's own: some
    methods write into them."""
    headers = {"x-request-source": "test"}
    return {"headers": headers} if client.flavor.is_grpc else {"headers": headers, "query_params": {"debug": "1"}}


def number(value: Any) -> int:
    """Messages as dictionaries have large numbers as texts."""
    return int(value)


@drives("close")
async def close(client: Client) -> None:
    """It is closed at the end of each test."""


@drives("is_server_live", "is_server_ready", "is_model_ready")
async def health(client: Client) -> None:
    assert await client.call("is_server_live", **query(client)) is True
    assert await client.call("is_server_ready", **query(client)) is True
    assert await client.call("is_model_ready", "identity", **query(client)) is True
    assert await client.call("is_model_ready", "identity", "1") is True
    assert await client.call("is_model_ready", "identity", "2") is False
    assert await client.call("is_model_ready", "nobody") is False


@drives("get_server_metadata")
async def server_metadata(client: Client) -> None:
    metadata = await client.call("get_server_metadata", **query(client))
    assert metadata["name"] == "triton"
    assert metadata["extensions"][:3] == ["classification", "sequence", "model_repository"]


@drives("get_model_metadata")
async def model_metadata(client: Client) -> None:
    metadata = await client.call("get_model_metadata", "identity_batch", **query(client))
    (given,) = metadata["inputs"]
    assert (metadata["versions"], metadata["platform"]) == (["1"], "python")
    assert (given["name"], given["datatype"], list(map(number, given["shape"]))) == ("IN_FP32", "FP32", [-1, -1])
    with pytest.raises(InferenceServerException, match="Request for unknown model: 'nobody' is not found"):
        await client.call("get_model_metadata", "nobody")


@drives("get_model_config")
async def model_config(client: Client) -> None:
    answer = await client.call("get_model_config", "identity_batch", "1", **query(client))
    config = answer["config"] if client.flavor.is_grpc else answer
    assert (config["name"], config["backend"], number(config["max_batch_size"])) == ("identity_batch", "python", 8)


@drives("get_model_repository_index")
async def repository_index(client: Client) -> None:
    answer = await client.call("get_model_repository_index", **query(client))
    rows = answer["models"] if client.flavor.is_grpc else answer
    assert {"name": "identity", "version": "1", "state": "READY"} in rows


@drives("get_inference_statistics")
async def statistics(client: Client) -> None:
    async def successes() -> int:
        answer = await client.call("get_inference_statistics", "identity", "1", **query(client))
        (entry,) = answer["model_stats"]
        return number(entry.get("inference_stats", {}).get("success", {}).get("count", 0))

    before = await successes()
    await client.identity("INT32", [1, 2])
    assert await successes() == before + 1
    everything = await client.call("get_inference_statistics")
    assert "identity_batch" in [entry["name"] for entry in everything["model_stats"]]


@drives("load_model", "unload_model")
async def load_and_unload(client: Client) -> None:
    """The server's models are those that it started with, as its control mode says."""
    refusal = "explicit model load / unload is not allowed if polling is enabled"
    with pytest.raises(InferenceServerException, match=refusal):
        await client.call("load_model", "identity", **query(client))
    with pytest.raises(InferenceServerException, match=refusal):
        await client.call("load_model", "identity", config="{}", files={"file:1/model.py": b"pass"})
    with pytest.raises(InferenceServerException, match=refusal):
        await client.call("unload_model", "identity", unload_dependents=True, **query(client))


@drives("get_log_settings", "update_log_settings")
async def log_settings(client: Client) -> None:
    def shown(answer: Any) -> Any:
        if not client.flavor.is_grpc:
            return answer["log_verbose_level"]
        return answer["settings"]["log_verbose_level"]["uint32_param"]

    before = shown(await client.call("get_log_settings", **query(client)))
    assert shown(await client.call("update_log_settings", {"log_verbose_level": 1}, **query(client))) == 1
    assert shown(await client.call("update_log_settings", {"log_verbose_level": before})) == before


@drives("get_trace_settings", "update_trace_settings")
async def trace_settings(client: Client) -> None:
    def rate(answer: Any) -> int:
        return number(answer["settings"]["trace_rate"]["value"][0] if client.flavor.is_grpc else answer["trace_rate"])

    before = rate(await client.call("get_trace_settings", **query(client)))
    changed = await client.call("update_trace_settings", "identity", {"trace_rate": "7"}, **query(client))
    assert rate(changed) == 7
    assert rate(await client.call("get_trace_settings")) == before
    assert rate(await client.call("update_trace_settings", "identity", {"trace_rate": None})) == before
    assert rate(await client.call("get_trace_settings", "identity")) == before


@contextmanager
def region_of(nbytes: int) -> Iterator[tuple[Any, str]]:
    """A region of shared memory of the client's, and its key."""
    key = f"/clients-{uuid4().hex[:12]}"
    region = shared_memory.create_shared_memory_region("mine", key, nbytes)
    try:
        yield region, key
    finally:
        shared_memory.destroy_shared_memory_region(region)


@drives("register_system_shared_memory", "unregister_system_shared_memory", "get_system_shared_memory_status")
async def system_shared_memory(client: Client) -> None:
    values = np.array([3, 1, 4, 1], np.int32)
    with region_of(2 * values.nbytes) as (region, key):
        shared_memory.set_shared_memory_region(region, [values])
        await client.call("register_system_shared_memory", "mine", key, 2 * values.nbytes, **query(client))
        given, wanted = client.flavor.module.InferInput("IN_INT32", [4], "INT32"), client.output("OUT_INT32")
        given.set_shared_memory("mine", values.nbytes)
        wanted.set_shared_memory("mine", values.nbytes, offset=values.nbytes)
        await client.call("infer", "identity", [given], outputs=[wanted])
        got = shared_memory.get_contents_as_numpy(region, np.int32, [4], offset=values.nbytes)
        assert got.tolist() == values.tolist()
        status = await client.call("get_system_shared_memory_status", **query(client))
        assert "mine" in (status["regions"] if client.flavor.is_grpc else [row["name"] for row in status])
        await client.call("unregister_system_shared_memory", "mine", **query(client))
        with pytest.raises(InferenceServerException, match="Unable to find system shared memory region: 'mine'"):
            await client.call("get_system_shared_memory_status", "mine")
        await client.call("unregister_system_shared_memory")


@drives("register_cuda_shared_memory", "unregister_cuda_shared_memory", "get_cuda_shared_memory_status")
async def cuda_shared_memory(client: Client) -> None:
    """A handle that is none is refused, whether or not there is a GPU."""
    handle = base64.b64encode(bytes(64)).decode()
    with pytest.raises(InferenceServerException, match="failed to register CUDA shared memory region: 'mine'"):
        await client.call("register_cuda_shared_memory", "mine", handle, 0, 1024, **query(client))
    status = await client.call("get_cuda_shared_memory_status", **query(client))
    assert not (status.get("regions") if client.flavor.is_grpc else status)
    await client.call("unregister_cuda_shared_memory", "mine", **query(client))
    await client.call("unregister_cuda_shared_memory")


@drives("infer")
async def infer(client: Client) -> None:
    result = await client.call(
        "infer",
        "mirror",
        [client.tensor("X", "INT32", [1])],
        model_version="1",
        request_id="r 1",
        sequence_id=42,
        sequence_start=True,
        sequence_end=False,
        priority=1,
        timeout=9_000_000,
        parameters={"colour": "red", "size": 3},
        **query(client),
    )
    seen = json.loads(result.as_numpy("SEEN")[0])
    assert (seen["id"], seen["sequence"], seen["flags"], seen["timeout"]) == ("r 1", 42, 1, 9_000_000)
    assert seen["parameters"] == {"colour": "red", "size": 3}
    assert result.get_output("SEEN") is not None
    assert result.get_output("NOTHING") is None
    response = result.get_response(as_json=True) if client.flavor.is_grpc else result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("r 1", "mirror", "1")


@drives("async_infer")
async def async_infer(client: Client) -> None:
    inputs = [client.tensor("IN_INT64", "INT64", [5])]
    outputs = [client.output("OUT_INT64")]
    if not client.flavor.is_grpc:
        asked = await client.call("async_infer", "identity", inputs, outputs=outputs, **query(client))
        assert asked.get_result().as_numpy("OUT_INT64").tolist() == [5]
        return
    answers: queue.Queue[Any] = queue.Queue()
    for model in ("identity", "nobody"):
        await client.call(
            "async_infer",
            model,
            inputs,
            lambda result, error: answers.put((result, error)),
            outputs=outputs,
            **query(client),
        )
    good, bad = sorted((answers.get(timeout=20) for _ in range(2)), key=lambda answer: answer[0] is None)
    assert good[0].as_numpy("OUT_INT64").tolist() == [5]
    assert bad[1].status() == "StatusCode.NOT_FOUND"


@drives("start_stream", "async_stream_infer", "stop_stream")
async def stream(client: Client) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    await client.call("start_stream", lambda result, error: answers.put((result, error)), **query(client))
    for value in range(3):
        inputs = [client.tensor("IN_INT64", "INT64", [value])]
        outputs = [client.output("OUT_INT64")]
        await client.call("async_stream_infer", "identity", inputs, outputs=outputs, request_id=str(value))
    got = [answers.get(timeout=20) for _ in range(3)]
    await client.call("stop_stream")
    assert [error for _, error in got] == [None] * 3
    assert [(result.get_response().id, result.as_numpy("OUT_INT64").tolist()) for result, _ in got] == [
        ("0", [0]),
        ("1", [1]),
        ("2", [2]),
    ]


@drives("stream_infer")
async def stream_infer(client: Client) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for value in range(3):
            inputs = [client.tensor("IN_INT64", "INT64", [value])]
            outputs = [client.output("OUT_INT64")]
            yield {"model_name": "identity", "inputs": inputs, "outputs": outputs, "request_id": str(value)}

    responses = await client.call("stream_infer", requests(), **query(client))
    got = [(result.get_response().id, error) async for result, error in responses]
    assert got == [("0", None), ("1", None), ("2", None)]


@drives("generate_request_body", "parse_response_body")
async def body_by_hand(client: Client) -> None:
    """A request that is made and read by the client, and carried by something else."""
    inputs = [client.tensor("IN_FP32", "FP32", [1.5])]
    body, json_nbytes = await client.call("generate_request_body", inputs, outputs=[client.output("OUT_FP32")])
    carrier = http.client.HTTPConnection(client.flavor.url(client.server), timeout=20)
    carrier.request("POST", "/v2/models/identity/infer", body, {LENGTH: str(json_nbytes)})
    answer = carrier.getresponse()
    content, length = answer.read(), int(answer.headers[LENGTH])
    carrier.close()
    result = await client.call("parse_response_body", content, header_length=length)
    assert result.as_numpy("OUT_FP32").tolist() == [1.5]


@drives("register_plugin", "plugin", "unregister_plugin")
async def plugin(client: Client) -> None:
    """Plugins add headers, which mean nothing to the server."""
    asked = []

    def add_header(request: Any) -> None:
        request.headers["x-plugin"] = "yes"
        asked.append(request)

    await client.call("register_plugin", add_header)
    assert await client.call("plugin") is add_header
    assert (await client.identity("INT32", [1])).tolist() == [1]
    await client.call("unregister_plugin")
    assert await client.call("plugin") is None
    assert len(asked) == 1
