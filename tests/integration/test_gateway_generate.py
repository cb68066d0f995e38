"""The generate extension of an HTTP gateway process on a real broker; the models behind it are scripted by the test."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from broker_process import Broker
from gateway_models import one_input
from gateway_stage import TIMINGS, Stage
from shoal.bus import Part
from shoal.core.messages import V2, InferRequest, InferResponse
from shoal.core.tensors import Tensor, pack_inline

GENERATE = "/v2/models/count/generate"
STREAM = "/v2/models/count/generate_stream"


@pytest.fixture
async def stage(broker: Broker, tmp_path: Path) -> AsyncIterator[Stage]:
    config = one_input("TYPE_INT32", [1], model_transaction_policy={"decoupled": True}) | {"name": "count"}
    async with Stage.open(broker.settings(), tmp_path, config) as stage:
        stage.scheduler.answer = lambda sender, request, part: count(stage, sender, request, part)
        yield stage


def count(stage: Stage, sender: str, request: InferRequest, part: Part) -> None:
    """Answers X responses with the numbers from 0, and then ends the request; a negative X leaves it open."""
    given = int(np.frombuffer(stage.scheduler.read(request.inputs[0], part), "<i4")[0])
    for number in range(abs(given)):
        headers, buffers = pack_inline([Tensor("Y", "INT32", (1,), np.int32(number).tobytes())])
        respond(
            stage,
            sender,
            InferResponse(V2, request.counter, number, False, True, None, headers, {}, TIMINGS, False),
            buffers,
        )
    if given >= 0:
        respond(stage, sender, InferResponse(V2, request.counter, given, True, True, None, (), {}, TIMINGS, True), [])


def respond(stage: Stage, sender: str, response: InferResponse, buffers: list[memoryview | bytes]) -> None:
    stage.scheduler.bus.send(sender, response, buffers)


def document(number: int) -> dict[str, object]:
    return {"Y": number, "model_name": "count", "model_version": "1"}


async def test_the_only_response_is_a_document(stage: Stage) -> None:
    status, content_type, body = await stage.gateway.post(GENERATE, {"X": 1})
    assert (status, content_type, json.loads(body)) == (200, "application/json", document(0))


async def test_responses_are_server_sent_events(stage: Stage) -> None:
    status, content_type, body = await stage.gateway.post("/v2/models/count/versions/1/generate_stream", {"X": 2})
    assert (status, content_type) == (200, "text/event-stream; charset=utf-8")
    events = body.decode().split("\n\n")
    assert [json.loads(event.removeprefix("data: ")) for event in events[:-1]] == [document(0), document(1)]
    assert events[-1] == ""


async def test_an_event_is_there_before_the_next_response_is(stage: Stage) -> None:
    first = await asyncio.to_thread(first_event_then_leave, stage.gateway.port)
    assert b"transfer-encoding: chunked" in first and b'"Y":0' in first
    await stage.scheduler.until(lambda: stage.scheduler.cancelled == [stage.scheduler.requests[0].counter])


def first_event_then_leave(port: int) -> bytes:
    body = b'{"X": -1}'
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (STREAM.encode(), len(body)) + body)
        received = b""
        while b"\n\n" not in received.partition(b"\r\n\r\n")[2]:
            received += client.recv(4096)
        return received


async def test_a_connection_goes_on_after_a_stream(stage: Stage) -> None:
    def ask_twice() -> list[bytes]:
        requests = b"".join(
            b"POST %s HTTP/1.1\r\nContent-Length: 8\r\n\r\n" % path.encode() + b'{"X": 1}'
            for path in (STREAM, GENERATE)
        )
        with socket.create_connection(("127.0.0.1", stage.gateway.port), timeout=10) as client:
            client.sendall(requests)
            received = b""
            while received.count(b"\r\n0\r\n\r\n") < 2:
                received += client.recv(4096)
            return received.split(b"HTTP/1.1 ")

    _, first, second = await asyncio.to_thread(ask_twice)
    assert first.startswith(b"200") and second.startswith(b"200")
