"""What a client sees of a fault: an answer for every request, the right one, and soon."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from broker_process import Broker
from leaks import LeakCheck
from load import Load
from shoal.bus import Bus
from shoal.runtime.settings import to_environment
from shoal_server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TAKEOVER_S = 2.0
BROKER_BACK_S = 5.0
STEADY_S = 2.0
WARM_UP_S = 1.0

#: Some of these execute and some wait when the signal comes: there is one instance, and a batch takes `SLOW_S`.
SLOW_REQUESTS, SLOW_S = 3, 1.0
SLOW_REQUEST = json.dumps({"inputs": [{"name": "IN", "datatype": "FP32", "shape": [1], "data": [1]}]}).encode()
SLOW_CONFIG = """
backend: "python"
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
SLOW_MODEL = f"""
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep({SLOW_S})
        tensors = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", tensor)]) for tensor in tensors]
"""

LISTEN_TO = ("scheduler", "agent", "executor", "gateway", "repository")


@pytest.fixture
def server(broker: Broker, server: Server) -> Iterator[Server]:
    """The server, warmed up, and checked for leaks at the end."""
    leaks = LeakCheck(server, broker)
    with Load(server.http_port):
        time.sleep(WARM_UP_S)
    baseline = leaks.baseline()
    yield server
    if server.process.poll() is None:
        leaks.steady(baseline)
        assert server.stop() == 0, server.output
    leaks.nothing_left()


@pytest.fixture
def standby(broker: Broker, server: Server) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **to_environment(broker.settings())}
    with subprocess.Popen([sys.executable, "-m", "shoal.scheduler"], env=environment) as process:
        yield process
        process.kill()


def owner_and_schedulers(broker: Broker) -> tuple[int, int]:
    """The process id of the scheduler that owns the models (0: none), and how many schedulers there are."""

    async def look() -> tuple[int, int]:
        bus = await Bus.connect(broker.settings(), "cli", LISTEN_TO)
        await bus.start()
        await asyncio.sleep(0.6)
        schedulers = [peer.heartbeat for peer in bus.peers.values() if peer.role == "scheduler" and not peer.suspected]
        owners = [beat.pid for beat in schedulers if "models" in beat.owned]
        await bus.close()
        return (owners[0] if owners else 0), len(schedulers)

    return asyncio.run(look())


def test_a_standby_takes_over_from_a_killed_scheduler(
    broker: Broker, server: Server, standby: subprocess.Popen[bytes]
) -> None:
    until(lambda: owner_and_schedulers(broker)[1] == 2)
    owner, _ = owner_and_schedulers(broker)
    with Load(server.http_port) as load:
        time.sleep(STEADY_S)
        os.kill(owner, signal.SIGKILL)
        time.sleep(TAKEOVER_S + STEADY_S)
    assert load.wrong == []
    assert set(load.statuses) == {200}, load.errors
    assert load.refused == 0
    assert load.longest_gap_s() < TAKEOVER_S
    assert owner_and_schedulers(broker)[0] not in (0, owner)


@pytest.mark.parametrize("empty", [False, True], ids=["same store", "empty store"])
def test_a_broker_that_comes_back(broker: Broker, server: Server, empty: bool) -> None:
    with Load(server.http_port) as load:
        time.sleep(STEADY_S)
        broker.kill()
        time.sleep(0.5)
        broker.start(empty=empty)
        back = time.monotonic()
        time.sleep(BROKER_BACK_S + STEADY_S)
    assert load.wrong == []
    assert set(load.statuses) <= {200, 503}, load.errors
    assert load.refused == 0
    assert min(moment for moment in load.successes if moment > back) - back < BROKER_BACK_S
    assert max(load.successes) > back + BROKER_BACK_S


def test_sigterm_under_load_fails_no_accepted_request_and_leaves_nothing(broker: Broker, server: Server) -> None:
    with Load(server.http_port) as load:
        time.sleep(STEADY_S)
        assert broker.subscriptions() != []
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0, server.output
    assert load.wrong == []
    assert set(load.statuses) == {200}, load.errors


def test_what_executes_at_sigterm_is_answered(broker: Broker, tmp_path: Path) -> None:
    """A load cannot tell a request that was dropped from a connection that was closed between two; this can."""
    settings, models = broker.settings(), tmp_path / "models"
    (models / "slow" / "1").mkdir(parents=True)
    (models / "slow" / "config.pbtxt").write_text(SLOW_CONFIG)
    (models / "slow" / "1" / "model.py").write_text(SLOW_MODEL)
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(
            Path(folder), f"--nats-url={settings.url}", models=models, environment=to_environment(settings)
        ) as server,
        ThreadPoolExecutor(SLOW_REQUESTS) as pool,
    ):
        server.wait_until_started()
        answers = [pool.submit(ask_slowly, server.http_port) for _ in range(SLOW_REQUESTS)]
        time.sleep(SLOW_S / 2)
        assert not any(answer.done() for answer in answers)
        server.process.send_signal(signal.SIGTERM)
        assert [answer.result(30) for answer in answers] == [200] * SLOW_REQUESTS
        assert server.wait() == 0, server.output


def ask_slowly(port: int) -> int:
    """The status of one request to `slow`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v2/models/slow/infer", SLOW_REQUEST)
    return connection.getresponse().status
