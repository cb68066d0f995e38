"""Calls during which nothing is sent for six minutes: more than the five after which proxies and libraries give up."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from client_stage import GRPC, GRPC_AIO, HTTP, HTTP_AIO, Flavor, connected, running
from shoal_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.full, pytest.mark.timeout(600)]

SILENCE_MS = 365_000
WITHIN_S = 450.0


@pytest.fixture
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """One for each gRPC transport, with an instance of `delay` for each call."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                running(tmp_path_factory.mktemp("clients"), f"--grpc-transport={transport}", delay_instances=4)
            )
            for transport in ("envoy", "grpcio")
        ]


async def unary(flavor: Flavor, server: Server, **options: Any) -> int:
    async with connected(flavor, server, **options) as client:
        result = await client.call("infer", "delay", client.delayed(SILENCE_MS))
        return int(result.as_numpy("SLEPT_MS")[0])


async def streamed(server: Server) -> int:
    answers: queue.Queue[Any] = queue.Queue()
    async with connected(GRPC, server) as client:
        await client.call("start_stream", lambda result, error: answers.put((result, error)))
        await client.call("async_stream_infer", "delay", client.delayed(SILENCE_MS))
        result, error = await asyncio.to_thread(answers.get, timeout=WITHIN_S)
        await client.call("stop_stream")
    assert error is None
    return int(result.as_numpy("SLEPT_MS")[0])


async def test_calls_survive_six_minutes_of_silence(servers: list[Server]) -> None:
    waiting = (
        asyncio.to_thread(asyncio.run, unary(HTTP, servers[0], network_timeout=WITHIN_S)),
        unary(HTTP_AIO, servers[0], conn_timeout=WITHIN_S),
        *(unary(GRPC_AIO, server) for server in servers),
        *(streamed(server) for server in servers),
    )
    async with asyncio.timeout(WITHIN_S):
        assert await asyncio.gather(*waiting) == [SILENCE_MS] * len(waiting)
