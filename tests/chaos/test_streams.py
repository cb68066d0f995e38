"""Faults in the middle of a stream of responses: none is lost, repeated or executed again, and nobody waits."""

from __future__ import annotations

import http.client
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker_process import Broker
from proxy import Proxy
from python_models import add_model
from shoal.runtime.settings import to_environment
from shoal_server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CONFIG = """
backend: "python"
model_transaction_policy { decoupled: true }
input [
  { name: "COUNT" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "GAP_MS" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "NBYTES" data_type: TYPE_INT32 dims: [ 1 ] }
]
output [
  { name: "INDEX" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "EXECUTION" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "FILLING" data_type: TYPE_STRING dims: [ 1 ] }
]
"""

#: Responses are numbered, and tell the execution that gave them; how far each has come is in the file `progress`.
SOURCE = """
import os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.progress = os.path.join(args["model_repository"], "progress")

    def execute(self, requests):
        for request in requests:
            count, gap_ms, nbytes = (
                int(pb_utils.get_input_tensor_by_name(request, name).as_numpy()[0])
                for name in ("COUNT", "GAP_MS", "NBYTES")
            )
            sender = request.get_response_sender()
            execution = np.array([time.monotonic_ns() % 2**31], np.int32)
            filling = pb_utils.Tensor("FILLING", np.array([b"x" * nbytes], dtype=object))
            for index in range(count):
                time.sleep(gap_ms / 1000)
                tensors = [pb_utils.Tensor("INDEX", np.array([index], np.int32)), filling]
                sender.send(pb_utils.InferenceResponse([*tensors, pb_utils.Tensor("EXECUTION", execution)]))
                with open(self.progress, "w") as file:
                    file.write(str(index + 1))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

#: From the end of a process to the error at its clients.
PROMPT_S = 3.0
#: With a slow client everything on the way to it fills: sockets, buffers of servers, what waits in the gateway.
ON_THE_WAY_NBYTES = 16 * 2**20


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    with Proxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
def models(tmp_path: Path) -> Path:
    add_model(tmp_path / "models", "ticker", CONFIG, SOURCE)
    return tmp_path / "models"


@pytest.fixture
def server(broker: Broker, proxy: Proxy, models: Path) -> Iterator[Server]:
    """`shoal serve` with every process of it behind the proxy."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(
            Path(folder),
            f"--nats-url=nats://127.0.0.1:{proxy.port}",
            models=models,
            environment=to_environment(broker.settings()),
        ) as server,
    ):
        server.wait_until_started()
        yield server


class Events:
    """The events of one call of `generate_stream`, as a client that takes its time reads them. Leaving it closes the
    connection."""

    def __init__(self, server: Server, count: int, gap_ms: int = 0, nbytes: int = 1) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
        body = json.dumps({"COUNT": count, "GAP_MS": gap_ms, "NBYTES": nbytes})
        self._connection.request("POST", "/v2/models/ticker/generate_stream", body)
        self._response: http.client.HTTPResponse | None = None

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()
        self._connection.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._response is None:
            self._response = self._connection.getresponse()
            assert self._response.status == 200, self._response.read()
        for line in self._response:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))

    def take(self, count: int) -> list[dict[str, Any]]:
        return [event for _, event in zip(range(count), self, strict=False)]


def indexes(server: Server, count: int, nbytes: int = 1) -> list[int]:
    with Events(server, count, nbytes=nbytes) as events:
        return [event["INDEX"] for event in events]


def executor_of(server: Server) -> int:
    (pid,) = [pid for pid, line in server.processes().items() if "shoal.workers.executor" in line]
    return pid


def progress(models: Path) -> int:
    file = models / "ticker" / "progress"
    return int(file.read_text() or 0) if file.exists() else 0


def resident_nbytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_killed_executor_ends_its_streams_promptly_and_nothing_is_executed_again(
    server: Server, models: Path
) -> None:
    with Events(server, count=1000, gap_ms=20) as events:
        begun = events.take(5)
        os.kill(executor_of(server), signal.SIGKILL)
        killed_at = time.monotonic()
        *more, last = list(events)
    assert time.monotonic() - killed_at < PROMPT_S
    assert [event["INDEX"] for event in [*begun, *more]] == list(range(5 + len(more)))
    assert f"request for model 'ticker' was interrupted after {5 + len(more)} responses" in last["error"]
    assert "signal 9" in last["error"]
    until(lambda: serves(server))
    # Had it been tried again, it would be at it still, or further.
    assert progress(models) == 3


def test_a_client_that_reads_slowly_does_not_let_anything_grow(server: Server, models: Path) -> None:
    nbytes, count = 256 * 1024, 400
    indexes(server, 32, nbytes)
    pid = executor_of(server)
    before = resident_nbytes(pid)
    with Events(server, count=count, nbytes=nbytes) as events:
        events.take(1)
        time.sleep(3.0)
        stalled_at = progress(models)
        time.sleep(2.0)
        assert progress(models) == stalled_at
        assert stalled_at * nbytes < ON_THE_WAY_NBYTES
        assert resident_nbytes(pid) - before < ON_THE_WAY_NBYTES
        assert [event["INDEX"] for event in events] == list(range(1, count))


def test_a_client_that_leaves_in_the_middle_lets_the_model_go(server: Server) -> None:
    with Events(server, count=1000, nbytes=256 * 1024) as events:
        events.take(1)
    until(lambda: indexes(server, 3) == [0, 1, 2])


@pytest.mark.parametrize("role", ["gateway", "executor", "scheduler"])
def test_a_link_that_is_cut_in_the_middle_loses_and_repeats_nothing(server: Server, proxy: Proxy, role: str) -> None:
    count = 600
    with Events(server, count=count, gap_ms=10) as events:
        received = events.take(5)
        for number in range(3):
            if number % 2:
                assert proxy.stall(role) > 0
                time.sleep(0.2)
            assert proxy.cut(role) > 0
            received += events.take(100)
        received += list(events)
    assert [event.get("INDEX", event) for event in received] == list(range(count))
    assert len({event["EXECUTION"] for event in received}) == 1


def serves(server: Server) -> bool:
    try:
        return indexes(server, 3) == [0, 1, 2]
    except (AssertionError, KeyError):  # not ready yet
        return False
