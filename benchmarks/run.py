"""Throughput, latency and CPU per request of the example models over HTTP, on a server started for the purpose.

    python benchmarks/run.py [--seconds 5] [--concurrency 1 8 64] [--json] [--address host:port]

The loader shares the machine with the server: compare figures of one machine with one another only. A run writes
nothing; keep its `--json` output to have a baseline.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import servers
from loader import Figures, Load, run
from process_cpu import used_s
from servers import NotStarted, Server

MODELS = Path(__file__).parent.parent / "examples" / "models"
#: Processes whose CPU time per request is shown, in microseconds.
ROLES = ("http", "scheduler", "executor", "broker")


def payloads() -> dict[str, bytes]:
    """A request of one row for each model that is measured, as JSON."""
    four = [0.5, 1.5, 2.5, 3.5]
    return {
        "add_sub": _body({"INPUT0": four, "INPUT1": four}),
        "digits": _body({"image": [float(i % 16) for i in range(64)]}),
    }


def _body(inputs: dict[str, list[float]]) -> bytes:
    tensors = [{"name": name, "datatype": "FP32", "shape": [1, len(row)], "data": row} for name, row in inputs.items()]
    return json.dumps({"inputs": tensors}).encode()


class Measurement(NamedTuple):
    """One row. `cpu_us`: CPU microseconds per request by role; empty for a server that this did not start."""

    model: str
    concurrency: int
    figures: Figures
    cpu_us: dict[str, float]


def measure(
    host: str, port: int, server: Server | None, concurrencies: list[int], seconds: float
) -> Iterator[Measurement]:
    """Each model at each concurrency, after a short warm-up; `server` where its processes can be seen."""
    for model, body in payloads().items():
        load = Load(host, port, f"/v2/models/{model}/infer", body, 8, 0.5)
        run(load)
        for concurrency in concurrencies:
            before = server.processes() if server else {}
            figures = run(load._replace(concurrency=concurrency, seconds=seconds))
            used = used_s(before, server.processes() if server else {})
            requests = figures.per_second * seconds
            cpu_us = {role: round(used[role] * 1e6 / requests, 1) for role in ROLES} if server and requests else {}
            yield Measurement(model, concurrency, figures, cpu_us)


def main() -> int:
    parser = argparse.ArgumentParser(description="Throughput and latency of the example models over HTTP.")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64], help="requests in flight")
    parser.add_argument("--json", action="store_true", help="one JSON object per measurement")
    parser.add_argument("--address", help="host:port of a server that runs already")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if arguments.address:
            host, _, port_text = arguments.address.rpartition(":")
            port, server = int(port_text), None
        else:
            server = stack.enter_context(servers.shoal(MODELS))
            host, port = servers.HOST, server.http_port
        if not arguments.json:
            roles = "".join(f"{role:>12}" for role in ROLES)
            print(f"{'':<62}{'CPU us per request':>48}")
            print(f"{'MODEL':<12}{'CONCURRENCY':>12}{'INFER/s':>12}{'P50 ms':>10}{'P99 ms':>10}{'FAILED':>8}{roles}")
        failed = 0
        for row in measure(host, port, server, arguments.concurrency, arguments.seconds):
            failed += row.figures.failed
            print(_line(row, arguments.json), flush=True)
    return 1 if failed else 0


def _line(row: Measurement, as_json: bool) -> str:
    if as_json:
        fields = {"model": row.model, "concurrency": row.concurrency, "cpu_us": row.cpu_us}
        return json.dumps({**fields, **row.figures._asdict()})
    rate, p50, p99, failed = row.figures
    cpu = "".join(f"{row.cpu_us.get(role, float('nan')):>12.0f}" for role in ROLES)
    return f"{row.model:<12}{row.concurrency:>12}{rate:>12.0f}{p50:>10.2f}{p99:>10.2f}{failed:>8}{cpu}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ConnectionError, NotStarted) as error:
        sys.exit(str(error))
