"""`kill -9` of any process of a server at random, again and again, under a load of many kinds.

The seed of a run is printed; `SHOAL_CHAOS_SEED` repeats its choices.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from leaks import LeakCheck, role_of
from load_models import write_models
from mixed_load import BROKEN, NOT_ACCEPTED, MixedLoad
from shoal_server import Server, until

pytestmark = [pytest.mark.slow]

VICTIMS = ("executor", "agent", "scheduler", "HTTP gateway", "gRPC gateway", "repository", "broker")
GATEWAY_OF = {"http": "HTTP gateway", "grpc": "gRPC gateway"}
REFUSED = ("503", "UNAVAILABLE")
#: Some word of each cause that a refusal may name.
CAUSE = re.compile("being loaded|ended|killed|not heard|broker|scheduler|no instance|freed")

INTERVAL_S = 3.0
WARM_UP_S = 2.0
#: The machine should have time to start what was killed: this is a test of faults, not of overload.
PAUSE_S = 0.05
#: What the suite allows, since it may have to share its machine: three times as slow, and a gateway takes six seconds.
BACK_ON_A_BUSY_MACHINE_S = 20.0


class Kill(NamedTuple):
    """What was killed, and when, as a reading of `time.monotonic()`."""

    role: str
    at: float


class ReadyWatch:
    """Asks `/v2/health/ready` again and again from entering to leaving; `not_ready` are the moments at which a no, or
    nothing, came back. `is_ready` is the last answer."""

    def __init__(self, port: int) -> None:
        self.not_ready: list[float] = []
        self.is_ready = False
        self._port = port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> ReadyWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(0.03):
            self.is_ready = self._ask()
            if not self.is_ready:
                self.not_ready.append(time.monotonic())

    def _ask(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


class Ordeal:
    """A server under load whose processes are killed one after another."""

    def __init__(self, server: Server, load: MixedLoad, ready: ReadyWatch) -> None:
        self._server = server
        self._load = load
        self._ready = ready
        self._kills: list[Kill] = []

    def run(self, dice: random.Random, duration_s: float) -> None:
        """Kill every role in some order, then in another order, and so on, each when all is well again."""
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            for role in dice.sample(VICTIMS, len(VICTIMS)):
                if time.monotonic() < end:
                    self._kill(role, dice)
                    time.sleep(INTERVAL_S)
                    until(self._is_well, BACK_ON_A_BUSY_MACHINE_S)

    def faults(self, back_within_s: float) -> list[str]:
        """What should not have happened, in words."""
        return [*self._load.wrong, *self._unexplained(), *self._late(back_within_s)]

    def _kill(self, role: str, dice: random.Random) -> None:
        until(lambda: bool(self._pids(role)))
        self._kills.append(Kill(role, time.monotonic()))
        os.kill(dice.choice(self._pids(role)), signal.SIGKILL)

    def _pids(self, role: str) -> list[int]:
        return sorted(pid for pid, command in self._server.processes().items() if role_of(command) == role)

    def _is_well(self) -> bool:
        answers = self._first_answers(self._kills[-1].at)
        return self._ready.is_ready and len(answers) == len(self._first_answers(0.0))

    def _first_answers(self, at: float) -> dict[str, float]:
        """When the first request that began after `at` was answered, by protocol and model."""
        found: dict[str, float] = {}
        for success in list(self._load.successes):
            if success.began > at:
                what = f"the first {success.protocol} answer of {success.kind.model}"
                found[what] = min(found.get(what, success.ended), success.ended)
        return found

    def _unexplained(self) -> list[str]:
        """Troubles that no kill explains: one since which all was not well explains refusals that name a cause, and, if
        it hit the gateway that they were for, connections that broke or were not accepted."""
        found: Counter[str] = Counter()
        for protocol, kind, what, text, began, ended in self._load.troubles:
            causes = [kill.role for kill, end in self._spans() if kill.at < ended and began < end]
            if what in (BROKEN, NOT_ACCEPTED):
                is_explained = GATEWAY_OF[protocol] in causes
            else:
                is_explained = what in REFUSED and bool(causes) and CAUSE.search(text) is not None
            if not is_explained:
                found[f"{protocol} {kind.model}: {what} {text!r}, after kills of {causes}"] += 1
        return [f"{count} times {text}" for text, count in found.items()]

    def _late(self, back_within_s: float) -> list[str]:
        """The kills after which it took longer until everything was well again."""
        found = []
        for kill, end in self._spans():
            failed = (each.began for each in self._load.troubles if kill.at < each.began and each.ended < end)
            moments = {
                "the last not ready": max((at for at in self._ready.not_ready if kill.at < at < end), default=kill.at),
                "the last request that failed": max(failed, default=kill.at),
                **self._first_answers(kill.at),
            }
            text = ", ".join(f"{what} after {at - kill.at:.2f} s" for what, at in moments.items())
            print(f"{kill.role} killed: {text}")
            if max(moments.values()) - kill.at > back_within_s:
                found.append(f"{kill.role} killed: {text}")
        return found

    def _spans(self) -> list[tuple[Kill, float]]:
        """Each kill with the time of the next."""
        ends = [*(kill.at for kill in self._kills[1:]), float("inf")]
        return list(zip(self._kills, ends, strict=True))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """`shoal serve` with the models of the load and a broker of its own, started."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), models=write_models(tmp_path / "models")) as server,
    ):
        server.wait_until_started()
        yield server


@pytest.mark.parametrize(
    ("duration_s", "back_within_s"),
    [
        pytest.param(20, BACK_ON_A_BUSY_MACHINE_S, marks=pytest.mark.timeout(240), id="each once"),
        pytest.param(120, 2.0, marks=[pytest.mark.timeout(600), pytest.mark.full], id="two minutes"),
    ],
)
def test_every_request_has_one_outcome_and_the_server_is_back_soon(
    server: Server, duration_s: float, back_within_s: float
) -> None:
    seed = int(os.environ.get("SHOAL_CHAOS_SEED") or random.randrange(10**6))
    print(f"SHOAL_CHAOS_SEED={seed}")
    leaks = LeakCheck(server)
    with MixedLoad(server.http_port, server.grpc_port, pause_s=PAUSE_S, seed=seed):
        time.sleep(WARM_UP_S)
    baseline = leaks.baseline()
    with (
        MixedLoad(server.http_port, server.grpc_port, pause_s=PAUSE_S, seed=seed) as load,
        ReadyWatch(server.http_port) as ready,
    ):
        time.sleep(WARM_UP_S)
        ordeal = Ordeal(server, load, ready)
        ordeal.run(random.Random(seed), duration_s)
    faults = ordeal.faults(back_within_s)
    assert not faults, "\n".join([*faults, server.output])
    leaks.steady(baseline)
    assert server.stop() == 0, server.output
    leaks.nothing_left()
