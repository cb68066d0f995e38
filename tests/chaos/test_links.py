"""One process's link to the broker is cut, hangs, or loses single messages: every request is answered all the same."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import Broker
from echo import EchoLoad, add_echo_model
from leaks import LeakCheck
from load import Load
from proxy import Passing, Proxy
from shoal.core.messages import (
    Batch,
    BatchDone,
    Closed,
    InferRequest,
    InferResponse,
    Message,
    Release,
)
from shoal.runtime.settings import to_environment
from shoal_server import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROLES = ("gateway", "scheduler", "executor", "agent")

CUTS = 20
STEADY_S = 1.5
#: Large enough for the arenas, small enough for a busy machine.
LARGE_NBYTES = 64 * 1024
#: A link that was mended serves again within this time.
MENDED_S = 2.0
#: What was lost without a trace is asked after at an age of five seconds, and at every second from then on; and who
#: waits for an instance waits for the batch that was lost on the way to it, or from it, before.
SLOWEST_S = 12.0
#: With messages lost in heaps a batch is sent three times before its requests are refused, five or six seconds each.
SLOWEST_OF_HEAPS_S = 20.0
#: Long enough that everything lost at the end of a load is asked after.
AFTERMATH_S = 6.0
#: Two unanswered pings of the client, two seconds apart, and a reconnect.
VANISHED_S = 8.0


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    with Proxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
def server(broker: Broker, proxy: Proxy, tmp_path: Path) -> Iterator[Server]:
    """`shoal serve` with every process of it behind the proxy."""
    echo = tmp_path / "models"
    add_echo_model(echo)
    flags = [f"--nats-url=nats://127.0.0.1:{proxy.port}", f"--model-repository={echo}"]
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), *flags, environment=to_environment(broker.settings())) as server,
    ):
        server.wait_until_started()
        yield server


class Trial:
    """Loads of small and large requests with faults in the middle: what has to hold at the end is said here once."""

    def __init__(self, server: Server, broker: Broker, slowest_s: float = SLOWEST_S) -> None:
        self._server = server
        self._slowest_s = slowest_s
        self._leaks = LeakCheck(server, broker)
        self.load = Load(server.http_port)
        self.large = EchoLoad(server.http_port, LARGE_NBYTES)

    def __enter__(self) -> Trial:
        with Load(self._server.http_port), EchoLoad(self._server.http_port, LARGE_NBYTES):
            time.sleep(STEADY_S)
        self._baseline = self._leaks.baseline()
        self.load.__enter__()
        self.large.__enter__()
        time.sleep(STEADY_S / 2)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.load.stop()
        self.large.stop()
        if kind is not None:
            return
        for load in (self.load, self.large):
            assert load.wrong == []
            assert load.statuses[200] > 0
            assert set(load.statuses) <= {200, 503}, load.errors
            assert load.slowest_s < self._slowest_s, (load.slowest_s, load.errors)
        assert self.load.refused == 0
        self._leaks.steady(self._baseline)
        assert self._server.stop() == 0, self._server.output
        self._leaks.nothing_left()

    def serves_again(self) -> None:
        """Wait for the load to succeed as it did before the faults."""
        began = time.monotonic()
        while not any(moment > began for moment in self.load.successes[-1:]):
            assert time.monotonic() - began < MENDED_S, self.load.errors
            time.sleep(0.02)


@pytest.mark.parametrize(
    "roles", [ROLES, *(pytest.param((role,), marks=pytest.mark.full) for role in ROLES)], ids="-".join
)
def test_a_link_that_is_cut_twenty_times(broker: Broker, proxy: Proxy, server: Server, roles: tuple[str, ...]) -> None:
    """Every other time it hangs for a moment first, so that what was sent meanwhile is lost with it."""
    chance = random.Random(0)
    with Trial(server, broker) as trial:
        for role in roles:
            for number in range(CUTS):
                if number % 2:
                    assert proxy.stall(role) > 0
                    time.sleep(chance.uniform(0.1, 0.4))
                assert proxy.cut(role) > 0
                time.sleep(chance.uniform(0.2, 0.6))
            trial.serves_again()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.full
def test_a_link_that_hangs_and_goes_on(broker: Broker, proxy: Proxy, server: Server, role: str) -> None:
    """Nothing is lost, all of it comes late: long enough for suspicion, too short for a reconnect."""
    chance = random.Random(role)
    with Trial(server, broker) as trial:
        for _ in range(CUTS):
            assert proxy.stall(role) > 0
            time.sleep(chance.uniform(0.2, 1.8))
            proxy.resume(role)
            time.sleep(chance.uniform(0.3, 0.7))
        trial.serves_again()


@pytest.mark.full
@pytest.mark.parametrize("role", ROLES)
def test_a_link_that_swallows_everything_is_replaced(broker: Broker, proxy: Proxy, server: Server, role: str) -> None:
    """No reset, no end: only unanswered pings tell. At last the old link ends for the broker too."""
    with Trial(server, broker) as trial:
        assert proxy.vanish(role) > 0
        time.sleep(VANISHED_S)
        trial.serves_again()
        proxy.cut(role)
        trial.serves_again()


def lose_now_and_then(proxy: Proxy, role: str, share: float, kinds: frozenset[type[Message]] = frozenset()) -> None:
    """Drop this share of the messages from and to processes of the role ("": of all); only those with one of the kinds
    in them, unless there are none."""
    chance = random.Random(role)

    def drop(passing: Passing) -> bool:
        concerned = passing.client.startswith(role) and (not kinds or bool(kinds & passing.kinds))
        return concerned and chance.random() < share

    proxy.drop = drop


def test_messages_that_are_lost_everywhere(broker: Broker, proxy: Proxy, server: Server) -> None:
    with Trial(server, broker) as trial:
        lose_now_and_then(proxy, "", 0.003)
        time.sleep(10)
        proxy.drop = None
        time.sleep(AFTERMATH_S)
        trial.serves_again()
    assert proxy.dropped.total() >= 10


@pytest.mark.full
@pytest.mark.parametrize("role", ROLES)
def test_messages_of_one_process_that_are_lost(broker: Broker, proxy: Proxy, server: Server, role: str) -> None:
    with Trial(server, broker, SLOWEST_OF_HEAPS_S) as trial:
        lose_now_and_then(proxy, role, 0.02)
        time.sleep(20)
        proxy.drop = None
        time.sleep(AFTERMATH_S)
        trial.serves_again()


@pytest.mark.full
@pytest.mark.parametrize("kind", [InferRequest, Batch, BatchDone, InferResponse, Closed, Release])
def test_messages_of_one_kind_that_are_lost(broker: Broker, proxy: Proxy, server: Server, kind: type[Message]) -> None:
    with Trial(server, broker, SLOWEST_OF_HEAPS_S) as trial:
        lose_now_and_then(proxy, "", 0.02, frozenset({kind}))
        time.sleep(15)
        proxy.drop = None
        time.sleep(AFTERMATH_S)
        trial.serves_again()
