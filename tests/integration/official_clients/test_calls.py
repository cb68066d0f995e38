"""How calls of the official clients behave: errors, compression, time limits, many at once."""

from __future__ import annotations

import asyncio
import json
import queue
import time
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from client_stage import GRPC, GRPC_AIO, HTTP, HTTP_AIO, Client, Flavor, connected
from shoal_server import Server

pytestmark = pytest.mark.slow

ALGORITHMS = (None, "gzip", "deflate")
REPETITIVE = np.arange(100_000, dtype=np.int32) // 1000


def wrong_inputs(client: Client) -> list[Any]:
    return [client.tensor("IN_FP32", "FP32", [1.0])]


async def test_errors_have_a_status_and_tritons_words(client: Client) -> None:
    async def failure(model: str, **named: Any) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as caught:
            await client.call("infer", model, wrong_inputs(client), **named)
        return caught.value.status(), caught.value.message()

    not_found, invalid = (
        ("StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT") if client.flavor.is_grpc else ("404", "400")
    )
    assert await failure("nobody") == (not_found, "Request for unknown model: 'nobody' is not found")
    unknown_version = "Request for unknown model: 'identity' version 7 is not found"
    assert await failure("identity", model_version="7") == (not_found, unknown_version)
    unexpected = "[request id: r] expected 1 inputs but got 1 inputs for model 'mirror'"
    status, text = await failure("mirror", request_id="r")
    assert (status, text.replace("unexpected inference input 'IN_FP32' for model 'mirror'", unexpected)) == (
        invalid,
        unexpected,
    )
    output = client.output("NOTHING")
    assert await failure("identity", outputs=[output]) == (
        invalid,
        "unexpected inference output 'NOTHING' for model 'identity'",
    )


@pytest.mark.parametrize("answered", ALGORITHMS)
@pytest.mark.parametrize("sent", ALGORITHMS)
@pytest.mark.parametrize("flavor", [HTTP, HTTP_AIO], ids=lambda flavor: flavor.name)
async def test_http_bodies_may_be_compressed_both_ways(
    server: Server, flavor: Flavor, sent: str | None, answered: str | None
) -> None:
    async with connected(flavor, server) as client:
        given = {"request_compression_algorithm": sent, "response_compression_algorithm": answered}
        for values in (REPETITIVE, REPETITIVE[:3], REPETITIVE[:0]):
            np.testing.assert_array_equal(await client.identity("INT32", values, **given), values)


async def check_compression(client: Client, algorithm: str | None) -> None:
    for values in (REPETITIVE, REPETITIVE[:3], REPETITIVE[:0]):
        got = await client.identity("INT32", values, compression_algorithm=algorithm)
        np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("flavor", [GRPC, GRPC_AIO], ids=lambda flavor: flavor.name)
async def test_grpc_messages_may_be_compressed(
    server: Server, other_server: Server, flavor: Flavor, algorithm: str | None
) -> None:
    for either in (server, other_server):
        async with connected(flavor, either) as client:
            await check_compression(client, algorithm)


async def test_texts_of_headers_and_parameters_may_be_of_any_script(client: Client) -> None:
    inputs = [client.tensor("X", "INT32", [1])]
    result = await client.call(
        "infer", "mirror", inputs, request_id="\u00fc-\u4e2d", parameters={"k\u00e9y": "v\u00e4lue"}
    )
    seen = json.loads(result.as_numpy("SEEN")[0])
    assert (seen["id"], seen["parameters"]) == ("\u00fc-\u4e2d", {"k\u00e9y": "v\u00e4lue"})


@pytest.mark.parametrize("sequence", [7, 2**63 - 1, "a-text"])
async def test_sequences_are_named_by_numbers_and_texts(client: Client, sequence: int | str) -> None:
    inputs = [client.tensor("X", "INT32", [1])]
    result = await client.call("infer", "mirror", inputs, sequence_id=sequence, sequence_end=True)
    seen = json.loads(result.as_numpy("SEEN")[0])
    assert (seen["sequence"], seen["flags"]) == (sequence, 2)


@pytest.mark.parametrize("parameters", [{"triton_mine": 1}, {"sequence_id": 3}, {"priority": 3}])
async def test_reserved_parameters_are_refused(client: Client, parameters: dict[str, int]) -> None:
    """By the client itself, before the server could."""
    with pytest.raises(InferenceServerException, match=r"is a reserved parameter|reserved for Triton"):
        await client.call("infer", "mirror", [client.tensor("X", "INT32", [1])], parameters=parameters)


@pytest.mark.parametrize("flavor", [GRPC, GRPC_AIO], ids=lambda flavor: flavor.name)
async def test_a_grpc_call_ends_at_its_time_limit(server: Server, other_server: Server, flavor: Flavor) -> None:
    for either in (server, other_server):
        async with connected(flavor, either) as client:
            began = time.monotonic()
            with pytest.raises(InferenceServerException) as caught:
                await client.call("infer", "delay", client.delayed(1500), client_timeout=0.3)
            assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
            assert time.monotonic() - began < 1.2
            await client.call("infer", "delay", client.delayed(1), client_timeout=20)


async def test_an_http_call_ends_at_its_time_limit(server: Server) -> None:
    async with connected(HTTP, server, network_timeout=0.5) as client:
        began = time.monotonic()
        with pytest.raises(Exception, match="timed out"):
            await client.call("infer", "delay", client.delayed(1500))
        assert time.monotonic() - began < 1.3
    async with connected(HTTP_AIO, server, conn_timeout=0.5) as client:
        with pytest.raises(TimeoutError):
            await client.call("infer", "delay", client.delayed(1500))


async def test_a_call_that_is_cancelled_leaves_the_client_usable(server: Server) -> None:
    async with connected(GRPC, server) as client:
        answers: queue.Queue[Any] = queue.Queue()
        context = await client.call(
            "async_infer", "delay", client.delayed(1500), lambda result, error: answers.put((result, error))
        )
        context.cancel()
        result, error = answers.get(timeout=20)
        assert result is None
        assert error.status() == "StatusCode.CANCELLED"
        assert (await client.identity("INT32", [1])).tolist() == [1]


@pytest.mark.parametrize("flavor", [HTTP_AIO, GRPC_AIO], ids=lambda flavor: flavor.name)
async def test_many_calls_run_at_once(server: Server, flavor: Flavor) -> None:
    async with connected(flavor, server) as client:
        answers = await asyncio.gather(*(client.identity("INT32", [number, -number]) for number in range(200)))
    assert [answer.tolist() for answer in answers] == [[number, -number] for number in range(200)]


async def test_many_calls_of_one_http_client_run_at_once(server: Server) -> None:
    async with connected(HTTP, server, concurrency=8) as client:
        outputs = [client.output("OUT_INT32")]
        asked = [
            await client.call(
                "async_infer", "identity", [client.tensor("IN_INT32", "INT32", [number])], outputs=outputs
            )
            for number in range(100)
        ]
        assert [int(one.get_result().as_numpy("OUT_INT32")[0]) for one in asked] == list(range(100))


async def test_many_calls_of_one_grpc_client_run_at_once(server: Server) -> None:
    async with connected(GRPC, server) as client:
        answers: queue.Queue[Any] = queue.Queue()
        for number in range(100):
            inputs, outputs = [client.tensor("IN_INT32", "INT32", [number])], [client.output("OUT_INT32")]
            await client.call(
                "async_infer", "identity", inputs, lambda result, error: answers.put((result, error)), outputs=outputs
            )
        got = [answers.get(timeout=30) for _ in range(100)]
    assert [error for _, error in got if error is not None] == []
    assert sorted(int(result.as_numpy("OUT_INT32")[0]) for result, _ in got) == list(range(100))


async def test_http_serves_no_decoupled_model(server: Server) -> None:
    async with connected(HTTP, server) as client:
        with pytest.raises(InferenceServerException, match="doesn't support models with decoupled transaction policy"):
            await client.call("infer", "countdown", client.countdown(1))


async def test_a_unary_grpc_call_serves_no_decoupled_model(server: Server, other_server: Server) -> None:
    for either in (server, other_server):
        async with connected(GRPC, either) as client:
            with pytest.raises(InferenceServerException, match="doesn't support models with decoupled") as caught:
                await client.call("infer", "countdown", client.countdown(1))
            assert caught.value.status() == "StatusCode.UNIMPLEMENTED"
