"""A load of many kinds for long: what a server uses does not grow with the number of requests."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import Broker
from leaks import LeakCheck, Use
from load_models import write_models
from mixed_load import LARGEST, MixedLoad
from shoal.runtime.settings import to_environment
from shoal.scheduler.finished import FINISHED_LIMIT
from shoal_server import Server

pytestmark = [pytest.mark.slow]

#: Whoever frees memory keeps it for what comes next. So first everybody carries as much as they ever will at once.
FILL_S, WARM_UP_S = 4.0, 3.0
#: The kinds come at random, and heaps still settle a little; a lost tensor at every hundredth request would be more.
FREE_NBYTES, FREE_SHARE = 24 * 2**20, 0.1
#: What fills up in hundreds of thousands of requests, and not beyond: finished ones that the scheduler remembers.
BOUNDED_NBYTES = {"scheduler": 2 * FINISHED_LIMIT * 220}
PARTS = 6
MIB = 2**20


@pytest.fixture
def server(broker: Broker, tmp_path: Path) -> Iterator[Server]:
    settings, models = broker.settings(), write_models(tmp_path / "models")
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(
            Path(folder), f"--nats-url={settings.url}", models=models, environment=to_environment(settings)
        ) as server,
    ):
        server.wait_until_started()
        yield server


@pytest.mark.parametrize(
    ("duration_s", "interval_s"),
    [
        pytest.param(20, 0.5, marks=pytest.mark.timeout(180), id="short"),
        pytest.param(600, 5.0, marks=[pytest.mark.timeout(900), pytest.mark.full], id="ten minutes"),
    ],
)
def test_what_a_server_uses_does_not_grow_with_its_requests(
    broker: Broker, server: Server, duration_s: float, interval_s: float
) -> None:
    leaks = LeakCheck(server, broker)
    with MixedLoad(server.http_port, server.grpc_port, kinds=LARGEST) as filling:
        time.sleep(FILL_S)
    with MixedLoad(server.http_port, server.grpc_port) as warming:
        time.sleep(WARM_UP_S)
    baseline = leaks.baseline()
    with MixedLoad(server.http_port, server.grpc_port) as load:
        uses = observe(leaks, duration_s, interval_s)
    for each in (filling, warming, load):
        assert each.wrong == []
        assert each.troubles == []
    assert server.process.poll() is None
    growth = grown_memory(uses)
    assert not growth, f"after {len(load.successes)} requests:\n" + "\n".join(growth)
    leaks.steady(baseline)
    assert server.stop() == 0, server.output
    leaks.nothing_left()


def observe(leaks: LeakCheck, duration_s: float, interval_s: float) -> list[Use]:
    """What is used at each interval."""
    uses = []
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        uses.append(leaks.look())
        time.sleep(interval_s)
    return uses


def grown_memory(uses: list[Use]) -> list[str]:
    """Where what is used in the last third of the time is clearly above what was in the first."""
    found = []
    series = list(map(memory, uses))
    size = len(series) // PARTS
    parts = [series[start : start + size] for start in range(0, size * PARTS, size)]
    for whom in series[0]:
        medians = [statistics.median(each[whom] for each in part) for part in parts]
        text = f"{whom}: " + ", ".join(f"{median / MIB:.1f}" for median in medians) + " MiB"
        print(text)
        first, last = statistics.mean(medians[: PARTS // 3]), statistics.mean(medians[-PARTS // 3 :])
        if last > first + max(FREE_NBYTES, FREE_SHARE * first) + BOUNDED_NBYTES.get(whom, 0):
            found.append(text)
    return found


def memory(use: Use) -> Counter[str]:
    """The bytes of each role, and of all segments together. The broker is not ours."""
    nbytes = Counter({"all segments": use.segment_nbytes})
    for process in use.processes:
        if process.role != "broker":
            nbytes[process.role] += process.anonymous_nbytes
    return nbytes
