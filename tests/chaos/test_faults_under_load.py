"""What a client sees of a fault: an answer for every request, the right one, and soon."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import Broker
from load import Load
from shoal.bus import Bus
from shoal.runtime.settings import to_environment
from shoal_server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TAKEOVER_S = 2.0
BROKER_BACK_S = 5.0
STEADY_S = 2.0
LISTEN_TO = ("scheduler", "agent", "executor", "gateway", "repository")


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
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0, server.output
    assert load.wrong == []
    assert set(load.statuses) == {200}, load.errors
    assert server.processes() == {}
    assert list(Path(server.folder).iterdir()) == []
    assert [subject for subject in broker.subscriptions() if not subject.startswith("$SYS")] == []
