"""`kill -9` of the scheduler and of executors while ensembles run: right answers or refusals with their cause, and no
memory kept."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import Broker
from ensemble_models import ENSEMBLE, write_ensemble
from leaks import LeakCheck, role_of
from mixed_load import Kind, MixedLoad
from shoal.runtime.settings import to_environment
from shoal_server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

#: 64 bytes, 64 KiB and 1 MiB.
KINDS = {Kind(ENSEMBLE, 16): 10, Kind(ENSEMBLE, 16 * 1024): 6, Kind(ENSEMBLE, 256 * 1024): 2}
WARM_UP_S = 2.0
STEADY_S = 3.0
#: Some word of each cause that a refusal may name.
CAUSES = ("ended", "killed", "no instance", "cannot be read", "taken back", "lost with the process", "memory of its")


@pytest.fixture
def server(broker: Broker, tmp_path: Path) -> Iterator[Server]:
    settings = broker.settings()
    models = write_ensemble(tmp_path / "models")
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(
            Path(folder), f"--nats-url={settings.url}", models=models, environment=to_environment(settings)
        ) as server,
    ):
        server.wait_until_started()
        yield server


def kill(server: Server, role: str, number: int = 0) -> None:
    pids = sorted(pid for pid, command in server.processes().items() if role_of(command) == role)
    os.kill(pids[number % len(pids)], signal.SIGKILL)


@pytest.mark.parametrize("role", ["scheduler", "executor"])
def test_ensembles_under_load_survive_the_death_of(role: str, broker: Broker, server: Server) -> None:
    leaks = LeakCheck(server, broker)
    with MixedLoad(server.http_port, server.grpc_port, kinds=KINDS, pause_s=0.02):
        time.sleep(WARM_UP_S)
    baseline = leaks.baseline()
    with MixedLoad(server.http_port, server.grpc_port, kinds=KINDS, pause_s=0.02) as load:
        for number in range(3):
            time.sleep(STEADY_S)
            kill(server, role, number)
        killed = time.monotonic()
        until(lambda: any(success.began > killed for success in load.successes), within_s=30)
        time.sleep(STEADY_S)
    assert load.wrong == []
    unexplained = [t for t in load.troubles if t.what not in ("503", "UNAVAILABLE") or not explains(t.text)]
    assert unexplained == []
    if role == "scheduler":
        assert load.troubles == [], "ensembles start again from their inputs"
    assert {success.kind for success in load.successes if success.began > killed} == set(KINDS)
    leaks.steady(baseline)
    assert server.stop() == 0, server.output
    leaks.nothing_left()


def explains(text: str) -> bool:
    return any(cause in text for cause in CAUSES)
