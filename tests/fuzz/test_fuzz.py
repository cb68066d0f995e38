"""Hostile requests over both protocols are answered as they should be, and the server is none the worse for them."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop

from fuzz_models import write_fuzz_models
from fuzz_runs import Fuzz
from fuzzed_server import FuzzedServer
from shoal_server import Server

pytestmark = pytest.mark.slow

#: The seed of a run that is to be repeated.
SEED = "SHOAL_FUZZ_SEED"
#: In the long run, over both protocols and both gRPC transports.
REQUESTS = 200_000


@contextmanager
def fuzz(first_seed: int, *flags: str) -> Iterator[Fuzz]:
    """Runs on a server of their own; afterwards it must be as it was before."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as models,
        Server(Path(folder), "--allow-client-shm=true", *flags, models=write_fuzz_models(Path(models))) as server,
        FuzzedServer(server) as fuzzed,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        server.wait_until_started()
        runs = Fuzz(fuzzed, runner, first_seed)
        try:
            runs.warm_up()
            fuzzed.begin()
            yield runs
        finally:
            runs.close()
        assert runner.run(fuzzed.has_all_room()), "requests are still counted, and there is none"
        assert fuzzed.faults() == []
        assert server.stop() == 0, server.output


@pytest.mark.timeout(180)
def test_hostile_requests_harm_nobody() -> None:
    with fuzz(int(os.environ.get(SEED, "1"))) as runs:
        runs.generated_http(40)
        runs.generated_grpc(40)
        runs.generated_h2(20)
        runs.mutated_http(2000)
        runs.mutated_grpc(2000)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("transport", ["auto", "grpcio"])
def test_hundreds_of_thousands_of_hostile_requests_harm_nobody(transport: str) -> None:
    first_seed = int(os.environ.get(SEED, random.SystemRandom().randrange(2**32)))
    print(f"{SEED}={first_seed}")
    with fuzz(first_seed, f"--grpc-transport={transport}") as runs:
        runs.generated_http(600)
        runs.generated_grpc(600)
        runs.generated_h2(200)
        runs.mutated_http(REQUESTS // 4)
        runs.mutated_grpc(REQUESTS // 4)
        assert runs.requests >= REQUESTS // 2
