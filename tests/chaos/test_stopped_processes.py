"""Processes that stand still: they are gone on without, or waited for, and nobody gets a wrong answer or none."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from broker_process import Broker
from echo import Echoed, add_echo_model, exchange, exchange_all
from leaks import LeakCheck, role_of
from number_requests import ask, is_ready
from python_models import add_number_model
from shoal.runtime.settings import to_environment
from shoal_server import Server, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

LARGE_NBYTES, LARGE_COUNT = 8 * 2**20, 12
STOPPED_S = 4.0
#: A stopped instance is noticed within two seconds, and a new one takes its place.
NOTICED_S, BACK_S = 2.0, 5.0
#: What the broker may hold for others beside its own needs: all that is under way, to and fro, and half as much again.
BROKER_NBYTES = 3 * LARGE_COUNT * LARGE_NBYTES

NAP_S = 8.0
LONG_NAP_S = 20.0
#: Writes down every execution, and holds the interpreter for as many tenths of a second as it is asked to.
NAP = """
import ctypes
_sleep = ctypes.PyDLL(None).usleep

def work(number):
    with open({log!r}, "a") as log:
        log.write(f"{{number}}\\n")
    if number:
        _sleep(number * 100_000)
    return number + 1
"""


class Nap(NamedTuple):
    """A model that holds the interpreter as long as it is told to, and the file that it writes its executions into."""

    models: Path
    log: Path

    @property
    def executions(self) -> list[int]:
        return [int(line) for line in self.log.read_text().split()] if self.log.exists() else []


@pytest.fixture
def nap(tmp_path: Path) -> Nap:
    nap = Nap(tmp_path / "models", tmp_path / "executions")
    add_number_model(nap.models, "nap", NAP.format(log=str(nap.log)))
    return nap


@contextlib.contextmanager
def serving(
    broker: Broker, models: Path, shm_limit: str = "", warm_up: Callable[[Server], object] = lambda _: None
) -> Iterator[Server]:
    """`shoal serve` on that broker with those models, checked for leaks at the end: it may not hold more than after the
    `warm_up`."""
    environment = {**to_environment(broker.settings()), "SHOAL_SHM_LIMIT": shm_limit}
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), f"--nats-url={broker.settings().url}", models=models, environment=environment) as server,
    ):
        server.wait_until_started()
        warm_up(server)
        leaks = LeakCheck(server, broker)
        baseline = leaks.baseline()
        yield server
        leaks.steady(baseline)
        assert server.stop() == 0, server.output
        leaks.nothing_left()


def pids(server: Server, role: str) -> list[int]:
    """The processes of a role."""
    return sorted(pid for pid, command in server.processes().items() if role_of(command) == role)


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process for the while; fine when it has been ended meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def resident_nbytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("role", "shm_limit"),
    [
        pytest.param("HTTP gateway", "", id="gateway"),
        pytest.param("scheduler", "", id="scheduler"),
        pytest.param("executor", "", id="executor"),
        pytest.param("HTTP gateway", "0", id="gateway, all of it at the broker", marks=pytest.mark.full),
        pytest.param("scheduler", "0", id="scheduler, all of it at the broker"),
        pytest.param("executor", "0", id="executor, all of it at the broker", marks=pytest.mark.full),
    ],
)
def test_a_process_that_stops_reading_with_100_mb_under_way(
    broker: Broker, tmp_path: Path, role: str, shm_limit: str
) -> None:
    models = tmp_path / "models"
    add_echo_model(models)

    def exchange_large(server: Server, first: int, count: int) -> list[Echoed]:
        return exchange_all(server.http_port, range(first, first + count), LARGE_NBYTES, LARGE_COUNT)

    with (
        serving(broker, models, shm_limit, lambda server: exchange_large(server, 0, LARGE_COUNT)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        before_nbytes = resident_nbytes(broker.pid)
        sending = pool.submit(exchange_large, server, LARGE_COUNT, 3 * LARGE_COUNT)
        time.sleep(0.3)
        (pid,) = pids(server, role)
        with standing_still(pid):
            assert not sending.done()
            most_nbytes = watch_memory(broker.pid, STOPPED_S)
        answers: list[Echoed] = sending.result(60)
        assert [a for a in answers if a.status not in (200, 503) or (a.status == 200 and not a.is_right)] == []
        assert all(a.error for a in answers if a.status == 503)
        assert most_nbytes - before_nbytes < BROKER_NBYTES
        assert exchange(server.http_port, 99, LARGE_NBYTES).is_right


def watch_memory(pid: int, seconds: float) -> int:
    """The most that the process had in memory within the time."""
    deadline = time.monotonic() + seconds
    most = 0
    while time.monotonic() < deadline:
        most = max(most, resident_nbytes(pid))
        time.sleep(0.1)
    return most


def test_an_idle_instance_that_is_stopped_is_replaced(broker: Broker, nap: Nap) -> None:
    """What was sent to it and not started is executed by the next one."""
    with serving(broker, nap.models) as server, ThreadPoolExecutor(1) as pool:
        assert ask(server.http_port, "nap", 0).number == 1
        (pid,) = pids(server, "executor")
        with standing_still(pid):
            answer = pool.submit(ask, server.http_port, "nap", 1)
            until(lambda: not is_ready(server.http_port, "nap"), NOTICED_S)
            until(lambda: is_ready(server.http_port, "nap"), BACK_S)
            assert answer.result(BACK_S).number == 2
            assert pid not in pids(server, "executor")
        assert nap.executions == [0, 1]


def test_a_busy_instance_that_is_stopped_is_replaced(broker: Broker, nap: Nap) -> None:
    """Its request is tried once more."""
    with serving(broker, nap.models) as server, ThreadPoolExecutor(1) as pool:
        (pid,) = pids(server, "executor")
        answer = pool.submit(ask, server.http_port, "nap", 20)
        until(lambda: nap.executions == [20])
        with standing_still(pid):
            until(lambda: not is_ready(server.http_port, "nap"), NOTICED_S)
            until(lambda: is_ready(server.http_port, "nap"), BACK_S)
            assert answer.result(BACK_S + 2.0).number == 21
            assert pid not in pids(server, "executor")
        assert nap.executions == [20, 20]


@pytest.mark.parametrize("nap_s", [NAP_S, pytest.param(LONG_NAP_S, marks=pytest.mark.full)])
def test_an_execution_that_holds_the_interpreter_runs_once_and_stays_ready(
    broker: Broker, nap: Nap, nap_s: float
) -> None:
    with serving(broker, nap.models) as server, ThreadPoolExecutor(2) as pool:
        before = pids(server, "executor")
        long = pool.submit(ask, server.http_port, "nap", int(nap_s * 10), timeout_s=nap_s + 10)
        until(lambda: len(nap.executions) == 1)
        waiting = pool.submit(ask, server.http_port, "nap", 0, timeout_s=nap_s + 10)
        while not long.done():
            assert is_ready(server.http_port, "nap")
            time.sleep(0.1)
        assert long.result().number == int(nap_s * 10) + 1
        assert waiting.result(5).number == 1
        assert nap.executions == [int(nap_s * 10), 0]
        assert pids(server, "executor") == before
