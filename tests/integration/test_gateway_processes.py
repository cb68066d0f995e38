"""Several processes for each protocol on one port: they serve as one."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tritonclient import grpc as triton_grpc

from shoal_server import Server, until

pytestmark = pytest.mark.slow

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        for level in ("info", "warn", "error", "verbose"):
            getattr(pb_utils.Logger, "log_" + level)("said at " + level)
        out = pb_utils.Tensor("OUT", np.ones(1, np.float32))
        return [pb_utils.InferenceResponse([out]) for _ in requests]
"""
CONFIG = """
backend: "python"
max_batch_size: 0
input [{ name: "IN" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "OUT" data_type: TYPE_FP32 dims: [1] }]
"""
INFER = {"inputs": [{"name": "IN", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
LOG, TRACE = "/v2/logging", "/v2/trace/setting"


class Gateways:
    """The server and where it listens: each protocol at one free port, with two processes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        found = dict(re.findall(r"Started (\w+)Service at 127\.0\.0\.1:(\d+)", server.output))
        self.http_port, self.grpc_port = int(found["HTTP"]), int(found["GRPCInference"])

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """One exchange on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return json.loads(body) if body else None
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=20)

    def log_settings_over_grpc(self) -> dict[str, Any]:
        with triton_grpc.InferenceServerClient(f"127.0.0.1:{self.grpc_port}") as client:
            settings: dict[str, Any] = client.get_log_settings(as_json=True)["settings"]
            return settings

    def processes(self, protocol: str) -> list[int]:
        """Process ids of the gateways that listen for this protocol."""
        port = {"http": self.http_port, "grpc": self.grpc_port}[protocol]
        inodes = _sockets(port, "0A")
        return [pid for pid in self.server.processes() if inodes & _sockets_of(pid)]


def _sockets(port: int, state: str) -> set[str]:
    """Inodes of the TCP sockets at this local port in this state, as /proc/net/tcp has it."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port and row[3] == state}


def _sockets_of(pid: int) -> set[str]:
    links = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            link = os.readlink(entry)
            if link.startswith("socket:["):
                links.add(link.removeprefix("socket:[").removesuffix("]"))
    except OSError:  # the process or the descriptor is gone
        pass
    return links


@pytest.fixture(scope="module")
def gateways() -> Iterator[Gateways]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "models" / "speaker"
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(CONFIG)
        (model / "1" / "model.py").write_text(MODEL)
        flags = ("--gateway-processes=2", "--http-port=0", "--grpc-port=0", "--trace-config=triton,file=trace.json")
        with Server(folder, *flags, models=folder / "models") as server:
            server.wait_until_started()
            gateways = Gateways(server)
            until(lambda: all(len(gateways.processes(protocol)) == 2 for protocol in ("http", "grpc")))
            yield gateways


def test_connections_are_spread_over_the_processes(gateways: Gateways) -> None:
    connections = [gateways.connect() for _ in range(40)]
    for connection in connections:
        connection.connect()
    pids = gateways.processes("http")
    established = _sockets(gateways.http_port, "01")
    until(lambda: sum(len(established & _sockets_of(pid)) for pid in pids) == len(connections))
    shares = [len(established & _sockets_of(pid)) for pid in pids]
    for connection in connections:
        connection.close()
    assert min(shares) >= 5


def test_log_settings_changed_at_one_hold_at_all_of_them(gateways: Gateways) -> None:
    for level in (3, 4, 5):
        gateways.ask("POST", LOG, {"log_verbose_level": level, "log_warning": False})
        shown = [gateways.ask("GET", LOG) for _ in range(12)]
        assert {(one["log_verbose_level"], one["log_warning"]) for one in shown} == {(level, False)}
        over_grpc = [gateways.log_settings_over_grpc() for _ in range(4)]
        assert {one["log_verbose_level"]["uint32_param"] for one in over_grpc} == {level}
    gateways.ask("POST", LOG, {"log_verbose_level": 0, "log_warning": True})
    assert gateways.log_settings_over_grpc()["log_warning"] == {"bool_param": True}


def test_trace_settings_changed_at_one_hold_at_all_of_them(gateways: Gateways) -> None:
    gateways.ask("POST", "/v2/models/speaker/trace/setting", {"trace_rate": "7"})
    gateways.ask("POST", TRACE, {"trace_count": "5"})
    models = [gateways.ask("GET", "/v2/models/speaker/trace/setting") for _ in range(8)]
    assert {(one["trace_rate"], one["trace_count"]) for one in models} == {("7", "5")}
    gateways.ask("POST", "/v2/models/speaker/trace/setting", {"trace_rate": None})
    gateways.ask("POST", TRACE, {"trace_count": None})
    assert {one["trace_rate"] for one in (gateways.ask("GET", TRACE) for _ in range(8))} == {"1000"}


def test_log_settings_act_in_the_processes_of_models(gateways: Gateways) -> None:
    def lines() -> list[str]:
        return re.findall(r"said at \w+", gateways.server.output)

    gateways.ask("POST", LOG, {"log_info": False, "log_error": False, "log_verbose_level": 1})

    def speaks_so() -> bool:
        before = len(lines())
        gateways.ask("POST", "/v2/models/speaker/infer", INFER)
        until(lambda: len(lines()) > before)
        return set(lines()[before:]) <= {"said at warn", "said at verbose"} and "said at verbose" in lines()[before:]

    until(speaks_so)
    gateways.ask("POST", LOG, {"log_info": True, "log_error": True, "log_verbose_level": 0})


def test_statistics_are_the_sum_whoever_is_asked(gateways: Gateways) -> None:
    def counts() -> set[int]:
        shown = [gateways.ask("GET", "/v2/models/speaker/stats") for _ in range(6)]
        return {one["model_stats"][0]["inference_stats"]["success"]["count"] for one in shown}

    (before,) = counts()
    for _ in range(20):
        gateways.ask("POST", "/v2/models/speaker/infer", INFER)
    assert counts() == {before + 20}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_killed_one_leaves_the_others_serving_and_comes_back(gateways: Gateways, protocol: str) -> None:
    killed, left = gateways.processes(protocol)
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in gateways.processes(protocol))
    for _ in range(10):
        gateways.ask("POST", "/v2/models/speaker/infer", INFER)
        assert gateways.log_settings_over_grpc()["log_error"] == {"bool_param": True}
    until(lambda: len(gateways.processes(protocol)) == 2)
    assert left in gateways.processes(protocol)
    gateways.ask("POST", LOG, {"log_error": True})
    assert {one["log_error"] for one in (gateways.ask("GET", LOG) for _ in range(8))} == {True}
