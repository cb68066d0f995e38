"""Ten times the load that saturates: do the requests that Shoal takes on stay fast, and is it normal again afterwards?

    python benchmarks/overload.py [--seconds 60] [--service-ms 10] [--times 10] [--without-control]

A model with one instance takes `service-ms` for each request. Its throughput is measured by clients that always
have a request waiting. Then come open loops: normal load (60 % of that), `times` as much as saturates, and normal load
again, whose first seconds are shown one by one. Memory is that of all of Shoal's processes, each second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import loader
import open_loop
import servers
from open_loop import Answers, Target
from table import Table, as_text

MODEL = "sleeper"
_BODY = json.dumps({"inputs": [{"name": "X", "shape": [1], "datatype": "FP32", "data": [1.0]}]}).encode()
_SATURATING_CLIENTS = 8
_SATURATING_SECONDS = 5.0
_NORMAL_SHARE = 0.6
_RECOVERY_SECONDS = 5

_CONFIG = f"""name: "{MODEL}"
backend: "python"
input {{ name: "X" data_type: TYPE_FP32 dims: [ 1 ] }}
output {{ name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }}
"""
_CODE = """import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            time.sleep({service_s})
            values = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", values)]))
        return responses
"""


class Phase(NamedTuple):
    """A load and what came of it; `memory_mib` is that of the server once a second."""

    name: str
    per_second: float
    answers: Answers
    memory_mib: list[float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the overload [%(default)s]")
    parser.add_argument("--service-ms", type=float, default=10.0, help="what a request takes [%(default)s]")
    parser.add_argument("--times", type=float, default=10.0, help="of the load that saturates [%(default)s]")
    parser.add_argument("--without-control", action="store_true", help="serve with --overload-control=false")
    arguments = parser.parse_args()
    flags = ["--overload-control=false"] if arguments.without_control else []
    with _models(arguments.service_ms / 1e3) as models, servers.shoal(models, flags=flags) as server:
        target = open_loop.post(servers.HOST, server.http_port, f"/v2/models/{MODEL}/infer", _BODY)
        saturated = _saturate(server)
        phases = asyncio.run(_phases(server, target, saturated, arguments.seconds, arguments.times))
    print(as_text(_table(phases, saturated)))
    return _verdict(phases)


@contextmanager
def _models(service_s: float) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        version = Path(folder) / MODEL / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(_CODE.format(service_s=service_s))
        (version.parent / "config.pbtxt").write_text(_CONFIG)
        yield Path(folder)


def _saturate(server: servers.Server) -> float:
    """Requests per second when the model never waits."""
    path = f"/v2/models/{MODEL}/infer"
    load = loader.Load(servers.HOST, server.http_port, path, _BODY, _SATURATING_CLIENTS, _SATURATING_SECONDS)
    return loader.run(load).per_second


async def _phases(
    server: servers.Server, target: Target, saturated: float, seconds: float, times: float
) -> list[Phase]:
    normal = saturated * _NORMAL_SHARE
    phases = [await _phase("normal", server, target, normal, max(10.0, seconds / 3))]
    phases.append(await _phase(f"{times:g} x", server, target, saturated * times, seconds))
    for second in range(_RECOVERY_SECONDS):
        phases.append(await _phase(f"second {second + 1} after", server, target, normal, 1.0))
    return phases


async def _phase(name: str, server: servers.Server, target: Target, per_second: float, seconds: float) -> Phase:
    memory_mib: list[float] = []
    watching = asyncio.create_task(_watch(server, memory_mib))
    answers = await open_loop.send(target, per_second, seconds, seed=len(name))
    watching.cancel()
    return Phase(name, per_second, answers, memory_mib)


async def _watch(server: servers.Server, memory_mib: list[float]) -> None:
    while True:
        memory_mib.append(sum(map(_resident_mib, server.processes())))
        await asyncio.sleep(1)


def _resident_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


def _table(phases: list[Phase], saturated: float) -> Table:
    rows = []
    for name, per_second, answers, memory_mib in phases:
        refused = answers.statuses[429]
        others = answers.statuses.total() - answers.accepted - refused
        rows.append(
            (
                name,
                f"{per_second:.0f}",
                str(answers.accepted),
                f"{answers.percentile_ms(50):.1f}",
                f"{answers.percentile_ms(99):.1f}",
                str(refused),
                str(refused - answers.with_retry_after),
                str(others),
                f"{min(memory_mib):.0f}-{max(memory_mib):.0f}",
                f"{answers.worst_lag_s * 1e3:.0f}",
            )
        )
    header = ("load", "req/s", "accepted", "p50 ms", "p99 ms", "429", "without Retry-After", "other", "MiB", "lag ms")
    note = f"The model saturates at {saturated:.0f} requests per second. Lag: how late the generator was at worst."
    return Table("Overload", note, header, rows)


def _verdict(phases: list[Phase]) -> int:
    normal, overload, *after = (phase.answers for phase in phases)
    is_fast = overload.percentile_ms(99) < 2 * normal.percentile_ms(99)
    is_normal_again = all(answers.statuses[429] == 0 for answers in after[1:])
    print(f"p99 of accepted requests under twice normal: {'yes' if is_fast else 'no'}")
    print(f"nothing refused from the second second on: {'yes' if is_normal_again else 'no'}")
    return 0 if is_fast and is_normal_again else 1


if __name__ == "__main__":
    sys.exit(main())
