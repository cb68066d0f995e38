"""Streams of the official gRPC clients, over both transports."""

from __future__ import annotations

import queue
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from client_stage import GRPC, GRPC_AIO, Client, connected
from shoal_server import Server

pytestmark = pytest.mark.slow


class Answer(NamedTuple):
    """What a stream's callback is given."""

    result: Any
    error: Any

    @property
    def request_id(self) -> str:
        request_id: str = self.result.get_response().id
        return request_id

    @property
    def is_final(self) -> bool:
        is_final: bool = self.result.get_response().parameters["triton_final_response"].bool_param
        return is_final


class Stream:
    """An open stream of a client; answers are taken from `answers` in their order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.answers: queue.Queue[Answer] = queue.Queue()

    async def ask(self, model: str, inputs: Any, **named: Any) -> None:
        await self._client.call("async_stream_infer", model, inputs, **named)

    def take(self, count: int) -> list[Answer]:
        return [self.answers.get(timeout=30) for _ in range(count)]


@asynccontextmanager
async def streaming(client: Client, *, cancel_requests: bool = False, **named: Any) -> AsyncIterator[Stream]:
    """A stream of the client, stopped at the end."""
    stream = Stream(client)
    await client.call("start_stream", lambda result, error: stream.answers.put(Answer(result, error)), **named)
    try:
        yield stream
    finally:
        await client.call("stop_stream", cancel_requests=cancel_requests)


@pytest.fixture(params=["envoy", "grpcio"])
async def grpc_server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue("server" if request.param == "envoy" else "other_server")
    return server


@pytest.fixture
async def client(grpc_server: Server) -> AsyncIterator[Client]:
    async with connected(GRPC, grpc_server) as client:
        yield client


def index_of(answer: Answer) -> int:
    return int(answer.result.as_numpy("INDEX")[0])


async def test_answers_come_in_the_order_of_the_requests(client: Client) -> None:
    async with streaming(client) as stream:
        await stream.ask("delay", client.delayed(300), request_id="slow")
        await stream.ask("identity", [client.tensor("IN_INT32", "INT32", [1])], request_id="quick")
        slow, quick = stream.take(2)
    assert (slow.request_id, slow.is_final, quick.request_id) == ("slow", True, "quick")


async def test_a_decoupled_model_answers_as_often_as_it_likes(client: Client) -> None:
    async with streaming(client) as stream:
        await stream.ask("countdown", client.countdown(5), request_id="many")
        answers = stream.take(5)
    assert [index_of(answer) for answer in answers] == [0, 1, 2, 3, 4]
    assert {(answer.request_id, answer.is_final) for answer in answers} == {("many", False)}


async def test_the_end_of_a_request_is_told_when_asked_for(client: Client) -> None:
    async with streaming(client) as stream:
        for count in (2, 0):
            await stream.ask("countdown", client.countdown(count), request_id="r", enable_empty_final_response=True)
            *_, last = stream.take(count + 1)
            assert last.is_final
            assert len(last.result.get_response().outputs) == 0


async def test_an_error_ends_its_request_alone(client: Client) -> None:
    async with streaming(client) as stream:
        await stream.ask("mirror", [client.tensor("WRONG", "INT32", [1])], request_id="bad")
        (bad,) = stream.take(1)
        assert bad.result is None
        assert "unexpected inference input 'WRONG' for model 'mirror'" in bad.error.message()
        await stream.ask("identity", [client.tensor("IN_INT32", "INT32", [1])], request_id="good")
        (good,) = stream.take(1)
        assert good.request_id == "good"


async def test_errors_end_the_stream_when_asked_for(client: Client) -> None:
    async with streaming(client, headers={"triton_grpc_error": "true"}) as stream:
        await stream.ask("nobody", [client.tensor("X", "INT32", [1])])
        (bad,) = stream.take(1)
        assert bad.error.status() == "StatusCode.NOT_FOUND"


async def test_a_stream_that_is_stopped_early_cancels_its_requests(client: Client) -> None:
    began = time.monotonic()
    async with streaming(client, cancel_requests=True) as stream:
        await stream.ask("countdown", client.countdown(1000, gap_ms=10))
        stream.take(3)
    assert time.monotonic() - began < 5
    async with streaming(client) as stream:
        await stream.ask("countdown", client.countdown(1))
        assert index_of(*stream.take(1)) == 0


async def test_a_stream_ends_at_its_time_limit(client: Client) -> None:
    async with streaming(client, stream_timeout=3) as stream:
        await stream.ask("countdown", client.countdown(1000, gap_ms=20))
        while (answer := stream.answers.get(timeout=20)).error is None:
            pass
    assert answer.error.status() == "StatusCode.DEADLINE_EXCEEDED"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_messages_of_a_stream_may_be_compressed(client: Client, algorithm: str) -> None:
    values = np.arange(100_000, dtype=np.int32) // 1000
    async with streaming(client, compression_algorithm=algorithm) as stream:
        for given in (values, values[:2]):
            outputs = [client.output("OUT_INT32")]
            await stream.ask("identity", [client.tensor("IN_INT32", "INT32", given)], outputs=outputs)
            (answer,) = stream.take(1)
            np.testing.assert_array_equal(answer.result.as_numpy("OUT_INT32"), given)


async def test_a_stream_carries_hundreds_of_requests(client: Client) -> None:
    async with streaming(client) as stream:
        for number in range(300):
            inputs = [client.tensor("IN_INT32", "INT32", [number])]
            await stream.ask("identity", inputs, outputs=[client.output("OUT_INT32")], request_id=str(number))
        answers = stream.take(300)
    assert [answer.error for answer in answers if answer.error is not None] == []
    assert [answer.request_id for answer in answers] == [str(number) for number in range(300)]


async def test_the_awaiting_client_streams_as_well(grpc_server: Server) -> None:
    async with connected(GRPC_AIO, grpc_server) as client:

        async def requests() -> AsyncIterator[dict[str, Any]]:
            yield {"model_name": "countdown", "inputs": client.countdown(3), "request_id": "many"}
            yield {"model_name": "nobody", "inputs": client.countdown(1), "request_id": "bad"}

        responses = await client.call("stream_infer", requests())
        answers = [Answer(*answer) async for answer in responses]
    failed = [answer.error.message() for answer in answers if answer.error is not None]
    assert failed == ["Request for unknown model: 'nobody' is not found"]
    assert [index_of(answer) for answer in answers if answer.error is None] == [0, 1, 2]


async def test_a_stream_of_the_awaiting_client_can_be_cancelled(grpc_server: Server) -> None:
    async with connected(GRPC_AIO, grpc_server) as client:

        async def requests() -> AsyncIterator[dict[str, Any]]:
            yield {"model_name": "countdown", "inputs": client.countdown(1000, gap_ms=10)}

        responses = await client.call("stream_infer", requests())
        taken = 0
        async for _, error in responses:
            assert error is None
            taken += 1
            if taken == 3:
                assert responses.cancel()
                break
