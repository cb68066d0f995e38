"""`shoal serve` as a whole: how it starts, what it tells, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.memory.inspection import inspect
from shoal_server import EXAMPLES, Server, until

pytestmark = pytest.mark.slow

BROKEN_MODEL = "raise RuntimeError('out of paint')\n"
CONFIG = 'backend: "python"\nmax_batch_size: 0\noutput [{ name: "OUT" data_type: TYPE_FP32 dims: [1] }]\n'


@pytest.fixture
def repository_with_a_broken_model(tmp_path: Path) -> Path:
    repository = tmp_path / "models"
    shutil.copytree(EXAMPLES / "add_sub", repository / "add_sub")
    (repository / "broken" / "1").mkdir(parents=True)
    (repository / "broken" / "config.pbtxt").write_text(CONFIG)
    (repository / "broken" / "1" / "model.py").write_text(BROKEN_MODEL)
    return repository


@pytest.fixture
def folder() -> Iterator[Path]:
    """The server's temporary folder. Its name is short, since Unix sockets below it must have less than 108 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_start_ends_with_the_models_and_the_addresses(folder: Path) -> None:
    with Server(folder) as server:
        server.wait_until_started()
        rows = [line.split() for line in server.output.splitlines()]
        assert ["MODEL", "VERSION", "STATE", "REASON"] in rows
        assert ["add_sub", "1", "READY"] in rows
        assert f"Started HTTPService at 127.0.0.1:{server.http_port}" in server.output
        assert f"Started GRPCInferenceService at 127.0.0.1:{server.grpc_port}" in server.output
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/v2/health/ready", timeout=10) as answer:
            assert answer.status == 200


def test_nothing_is_left_after_sigterm(folder: Path) -> None:
    with Server(folder) as server:
        server.wait_until_started()
        assert server.stop() == 0, server.output
        assert server.processes() == {}
        assert list(folder.iterdir()) == []


def infer_text(server: Server, nbytes: int) -> int:
    """Have a text of that length made upper case; the length of the answer."""
    tensor = {"name": "TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["x" * nbytes]}
    body = json.dumps({"inputs": [tensor]}).encode()
    url = f"http://127.0.0.1:{server.http_port}/v2/models/text_upper/infer"
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=20) as answer:
        (output,) = json.load(answer)["outputs"]
    return len(output["data"][0])


def segments_of(server: Server) -> set[str]:
    """The segments that the server's processes own now."""
    pids = server.processes().keys()
    return {segment.name for segment in inspect() if segment.header.pid in pids}


def test_no_shared_memory_is_left_after_sigterm_even_of_processes_that_were_killed(folder: Path) -> None:
    with Server(folder) as server:
        server.wait_until_started()
        assert infer_text(server, 100_000) == 100_000
        owned = segments_of(server)
        assert {name.split("-")[1] for name in owned} == {"gateway", "executor"}
        for pid in {segment.header.pid for segment in inspect() if segment.name in owned}:
            os.kill(pid, signal.SIGKILL)
        assert server.stop() == 0, server.output
        assert {segment.name for segment in inspect()} & owned == set()


def test_without_shared_memory_tensors_travel_in_messages(folder: Path) -> None:
    with Server(folder, "--shm-limit=0") as server:
        server.wait_until_started()
        assert infer_text(server, 100_000) == 100_000
        assert segments_of(server) == set()


def test_a_shortage_of_shared_memory_is_explained_and_does_not_keep_it_from_starting(folder: Path) -> None:
    with Server(folder, f"--shm-limit={2**45}") as server:
        server.wait_until_started()
        assert "3 processes with --shm-limit=35184372088832 may use 96 TiB" in server.output
        assert 'shm_size: "' in server.output


def test_no_process_outlives_a_killed_supervisor_and_the_next_start_sweeps_its_folder(folder: Path) -> None:
    with Server(folder) as server:
        server.wait_until_started()
        assert len(server.processes()) > 5
        server.process.kill()
        until(lambda: not server.processes(), within_s=2)
        left = list(folder.iterdir())
    with Server(folder) as server:
        server.wait_until_started()
        assert not any(path.exists() for path in left)


def test_a_killed_service_comes_back(folder: Path) -> None:
    def scheduler() -> list[int]:
        return [pid for pid, command in server.processes().items() if "-m shoal.scheduler" in command]

    with Server(folder) as server:
        server.wait_until_started()
        (killed,) = scheduler()
        os.kill(killed, signal.SIGKILL)
        until(lambda: bool(scheduler()) and scheduler() != [killed], within_s=10)


def test_a_model_that_fails_ends_the_start(folder: Path, repository_with_a_broken_model: Path) -> None:
    with Server(folder, models=repository_with_a_broken_model) as server:
        assert server.wait() == 1
        assert "failed to load all models" in server.output
        assert "out of paint" in server.output
        assert server.processes() == {}


def test_a_model_that_fails_is_tolerated_when_asked_for(folder: Path, repository_with_a_broken_model: Path) -> None:
    with Server(folder, "--exit-on-error=false", models=repository_with_a_broken_model) as server:
        server.wait_until_started()
        states = {line.split()[0]: line.split()[2] for line in server.output.splitlines() if " 1 " in line}
        assert states == {"add_sub": "READY", "broken": "UNAVAILABLE"}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_port_in_use_is_named(folder: Path, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Server(folder, f"--{protocol}-port={port}") as server:
            assert server.wait() == 1
            assert f"127.0.0.1:{port}" in server.output
            assert "in use" in server.output


def test_a_broker_that_cannot_be_reached_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        with Server(folder, f"--nats-url={url}", "--nats-connect-timeout=1") as server:
            assert server.wait() == 3
            assert url in server.output
            assert "Traceback" not in server.output
