"""The servers that are measured: Shoal, the real Triton, and a bare echo, each on free ports of its own.

They end with the block that they were started for, and die with this process however it ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tritonclient.grpc

import process_cpu
from shoal.bus import free_port
from shoal.runtime.parent_death import child_environment

ECHO = Path(__file__).with_name("echo_app.py")
HOST = "127.0.0.1"
START_LIMIT_S = 120.0
STOP_LIMIT_S = 30.0
_REQUEST_LIMIT_S = 10.0
_SHOWN_OUTPUT_CHARACTERS = 600


class NotStarted(Exception):
    """A server that did not become ready; the text says which and what it printed last."""


class Server(NamedTuple):
    """A server that runs: `pid` of its first process; `roles` tells its processes apart (see `process_cpu`)."""

    name: str
    pid: int
    http_port: int
    grpc_port: int
    roles: Mapping[str, str]

    def address(self, protocol: str) -> str:
        """Host and port of "http" or "grpc"."""
        return f"{HOST}:{self.http_port if protocol == 'http' else self.grpc_port}"

    def processes(self) -> dict[int, process_cpu.Process]:
        return process_cpu.processes(self.pid, self.roles)


class Counts(NamedTuple):
    """Requests that a model has answered since the start."""

    success: int
    failed: int


def shoal(
    models: Path, environment: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> contextlib.AbstractContextManager[Server]:
    """Shoal with the models of a repository, and further options."""
    http_port, grpc_port = free_port(), free_port()
    argv = [
        *(sys.executable, "-m", "shoal.cli.main", "serve", f"--model-repository={models}"),
        *(f"--http-address={HOST}", f"--http-port={http_port}"),
        *(f"--grpc-address={HOST}", f"--grpc-port={grpc_port}"),
        *flags,
    ]
    return _running(Server("shoal", 0, http_port, grpc_port, process_cpu.SHOAL), argv, environment or {})


def triton(
    peer: Path, models: Path, environment: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[Server]:
    """The real Triton by way of the program `peer`, which has to be set up."""
    http_port, grpc_port = free_port(), free_port()
    ports = {"T_HTTP": str(http_port), "T_GRPC": str(grpc_port), "T_METRICS": str(free_port())}
    argv = [str(peer), "triton", str(models), f"--http-address={HOST}", f"--grpc-address={HOST}"]
    server = Server("triton", 0, http_port, grpc_port, process_cpu.TRITON)
    return _running(server, argv, {**ports, **(environment or {})})


def echo(environment: Mapping[str, str] | None = None) -> contextlib.AbstractContextManager[Server]:
    """One process of uvicorn that gives each body back: what the HTTP side costs at least."""
    port = free_port()
    server = Server("echo", 0, port, 0, {ECHO.name: "echo"})
    return _running(server, [sys.executable, str(ECHO), str(port)], environment or {})


def ask(server: Server, path: str) -> Any:
    """The JSON document at `path`. Raises OSError or HTTPException when there is none."""
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=_REQUEST_LIMIT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise http.client.HTTPException(f"GET {path} of {server.name} answered {answer.status}")
    return json.loads(text) if text else None


def counts(server: Server, model: str) -> Counts:
    """What the server's statistics say."""
    (row,) = ask(server, f"/v2/models/{model}/stats")["model_stats"]
    stats = row["inference_stats"]
    return Counts(int(stats["success"]["count"]), int(stats["fail"]["count"]))


@contextlib.contextmanager
def _running(server: Server, argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "shoal.runtime.launch", "--", *argv],
            env=child_environment(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            if not _becomes_ready(server, process):
                output.seek(0)
                text = output.read().decode(errors="replace")
                raise NotStarted(f"{server.name} did not become ready: {text[-_SHOWN_OUTPUT_CHARACTERS:].strip()}")
            yield server._replace(pid=process.pid)
        finally:
            _stop(process)


def _becomes_ready(server: Server, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if _is_ready(server):
            return True
        time.sleep(0.1)
    return False


def _is_ready(server: Server) -> bool:
    """Whether it says so by every protocol: each has a process of its own, which knows the models when it has heard of
    them."""
    try:
        ask(server, "/v2/health/ready")
    except (OSError, http.client.HTTPException):
        return False
    return not server.grpc_port or _is_grpc_ready(server.address("grpc"))


def _is_grpc_ready(address: str) -> bool:
    client = tritonclient.grpc.InferenceServerClient(address)
    try:
        return bool(client.is_server_ready(client_timeout=_REQUEST_LIMIT_S))
    except tritonclient.grpc.InferenceServerException:
        return False
    finally:
        client.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
