"""Tensors in shared memory between a gateway process and scripted peers: who reads what, and when it is freed."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from broker_process import Broker
from gateway_executor import ExecutorPeer
from gateway_models import one_input
from gateway_stage import Scheduler, Stage
from shoal.bus import Part
from shoal.core.messages import V1, Closed, InferRequest
from shoal.core.tensors import ArenaRef, Inline
from shoal.memory import SHM
from shoal.memory.settings import SHM_LIMIT

MIB = 2**20
INFER = "/v2/models/m/infer"
CONTENT = np.random.default_rng(7).bytes(MIB)


@pytest.fixture
async def stage(broker: Broker, tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway with 4 MiB of shared memory in front of a scheduler that never answers."""
    config = one_input("TYPE_UINT8", [-1])
    async with Stage.open(broker.settings(), tmp_path, config, environment={SHM_LIMIT: str(4 * MIB)}) as stage:
        stage.scheduler.answer = silent
        yield stage


@pytest.fixture
async def executor(broker: Broker) -> AsyncIterator[ExecutorPeer]:
    async with ExecutorPeer.start(broker.settings()) as executor:
        yield executor


def silent(sender: str, request: InferRequest, part: Part) -> None:
    """A scheduler that never answers."""


def body(content: bytes) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with one binary input, whose output comes back binary, too."""
    tensor = {"name": "X", "datatype": "UINT8", "shape": [len(content)]}
    document = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(content)}}]}
    text = json.dumps({**document, "parameters": {"binary_data_output": True}}).encode()
    return text + content, {"Inference-Header-Content-Length": str(len(text))}


def infer(stage: Stage, content: bytes = CONTENT) -> asyncio.Task[tuple[int, str, bytes]]:
    return asyncio.create_task(stage.gateway.ask("POST", INFER, *body(content)))


async def arrived(scheduler: Scheduler, count: int = 1) -> tuple[InferRequest, ArenaRef]:
    """The latest of so many requests, and where its input is."""
    await scheduler.until(lambda: len(scheduler.requests) == count)
    request = scheduler.requests[-1]
    (header,) = request.inputs
    assert isinstance(header.ref, ArenaRef)
    return request, header.ref


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    for _ in range(int(within_s / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not come true in time")


def close(stage: Stage, request: InferRequest) -> None:
    """Have the scheduler say that nobody reads the inputs any more."""
    stage.scheduler.bus.send(request.submitter, Closed(V1, (request.counter,)))


async def test_large_tensors_travel_by_reference_both_ways(stage: Stage, executor: ExecutorPeer) -> None:
    asking = infer(stage)
    request, ref = await arrived(stage.scheduler)
    reader = stage.scheduler.reader
    assert request.host == executor.arena.host
    assert reader.copy(ref) == CONTENT
    generation = executor.answer(request, {"Y": CONTENT[::-1]})
    status, _, answer = await asking
    assert status == 200
    assert answer.endswith(CONTENT[::-1])
    await until(lambda: executor.released == [generation])
    assert reader.is_current(ref)
    close(stage, request)
    await until(lambda: not reader.is_current(ref))


async def test_a_body_in_many_pieces_is_put_together(stage: Stage, executor: ExecutorPeer) -> None:
    sent, headers = body(CONTENT)

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", stage.gateway.port, timeout=30)
        try:
            pieces = [sent[start : start + 77_777] for start in range(0, len(sent), 77_777)]
            connection.request("POST", INFER, iter([sent[:10], sent[10:20], sent[20:77_777], *pieces[1:]]), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    asking = asyncio.create_task(asyncio.to_thread(ask))
    request, ref = await arrived(stage.scheduler)
    assert stage.scheduler.reader.copy(ref) == CONTENT
    executor.answer(request, {"Y": b"y"})
    status, answer = await asking
    assert (status, answer[-1:]) == (200, b"y")


async def test_the_inputs_of_a_client_that_left_stay_until_the_request_is_closed(
    stage: Stage, executor: ExecutorPeer
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", stage.gateway.port)
    sent, headers = body(CONTENT)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"POST {INFER} HTTP/1.1\r\nContent-Length: {len(sent)}\r\n{head}\r\n".encode() + sent)
    await writer.drain()
    request, ref = await arrived(stage.scheduler)
    writer.close()
    await stage.scheduler.until(lambda: stage.scheduler.cancelled == [request.counter])
    reader = stage.scheduler.reader
    generation = executor.answer(request, {"Y": CONTENT})
    await until(lambda: executor.released == [generation])
    assert reader.copy(ref) == CONTENT
    close(stage, request)
    await until(lambda: not reader.is_current(ref))


async def test_inputs_are_asked_after_at_a_new_scheduler(stage: Stage, executor: ExecutorPeer, broker: Broker) -> None:
    asking = infer(stage)
    request, ref = await arrived(stage.scheduler)
    executor.answer(request, {"Y": b"y"})
    assert (await asking)[0] == 200
    assert stage.scheduler.reader.is_current(ref)
    async with Scheduler.start(broker.settings(), epoch=8) as successor:
        await successor.until(lambda: successor.closing == [(request.counter,)])
        await until(lambda: not stage.scheduler.reader.is_current(ref))


async def test_a_request_that_is_sent_again_to_a_new_scheduler_has_the_same_inputs(
    stage: Stage, executor: ExecutorPeer, broker: Broker
) -> None:
    asking = infer(stage)
    _, ref = await arrived(stage.scheduler)
    async with Scheduler.start(broker.settings(), epoch=8) as successor:
        successor.answer = silent
        request, again = await arrived(successor)
        assert again == ref
        executor.answer(request, {"Y": b"y"})
        assert (await asking)[0] == 200


async def test_an_answer_that_died_with_its_executor_is_unavailable(stage: Stage, executor: ExecutorPeer) -> None:
    asking = infer(stage)
    request, _ = await arrived(stage.scheduler)
    executor.answer(request, {"Y": CONTENT})
    executor.arena.close()
    status, _, answer = await asking
    assert status == 503
    assert "the memory of its answer is gone with the process that held it" in json.loads(answer)["error"]


async def test_what_an_executor_asks_after_is_released(stage: Stage, executor: ExecutorPeer) -> None:
    asking = infer(stage)
    request, _ = await arrived(stage.scheduler)
    executor.ask(request.submitter, 41, 42)
    await until(lambda: executor.released == [41, 42])
    executor.answer(request, {"Y": b"y"})
    assert (await asking)[0] == 200


async def test_with_an_executor_on_another_host_inputs_travel_in_messages(stage: Stage, broker: Broker) -> None:
    async with ExecutorPeer.start(broker.settings(), host="0123456789abcdef") as executor:
        asking = infer(stage)
        await stage.scheduler.until(lambda: len(stage.scheduler.requests) == 1)
        (request,) = stage.scheduler.requests
        assert isinstance(request.inputs[0].ref, Inline)
        executor.answer(request, {"Y": b"y"})
        assert (await asking)[0] == 200


async def test_a_full_arena_refuses_with_429_and_says_when_to_come_again(stage: Stage, executor: ExecutorPeer) -> None:
    asking = [infer(stage) for _ in range(3)]
    await stage.scheduler.until(lambda: len(stage.scheduler.requests) == 3)

    def ask() -> tuple[int, str | None, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", stage.gateway.port, timeout=30)
        try:
            connection.request("POST", INFER, *body(CONTENT + CONTENT))
            response = connection.getresponse()
            return response.status, response.getheader("Retry-After"), json.loads(response.read())
        finally:
            connection.close()

    status, retry_after, document = await asyncio.to_thread(ask)
    assert (status, retry_after) == (429, "1")
    assert "request for model 'm' was not accepted: shared memory is full" in document["error"]
    for request in stage.scheduler.requests:
        executor.answer(request, {"Y": b"y"})
        close(stage, request)
    assert [(await task)[0] for task in asking] == [200, 200, 200]
    late = infer(stage, CONTENT + CONTENT)
    request, _ = await arrived(stage.scheduler, 4)
    executor.answer(request, {"Y": b"y"})
    assert (await late)[0] == 200


async def test_inputs_larger_than_all_shared_memory_are_refused_for_good(stage: Stage) -> None:
    status, _, answer = await stage.gateway.ask("POST", INFER, *body(bytes(5 * MIB)))
    assert status == 400
    for part in ("model 'm'", "'X' 5242880", "4194304", "--shm-limit", "shm_size"):
        assert part in json.loads(answer)["error"]
    assert stage.scheduler.requests == []


async def test_a_gateway_that_ends_leaves_nothing_in_shared_memory(stage: Stage, executor: ExecutorPeer) -> None:
    asking = infer(stage)
    request, ref = await arrived(stage.scheduler)
    assert (SHM / ref.segment).exists()
    executor.answer(request, {"Y": b"y"})
    await asking
    stage.gateway.process.send_signal(signal.SIGTERM)
    assert await stage.gateway.ended() == 0
    assert list(SHM.glob(f"shoal-{request.submitter}-*")) == []
