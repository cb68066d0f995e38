"""Shoal beside the real Triton on one machine.

    python benchmarks/beside_triton.py [--quick] [--json FILE] [--markdown]

One python model that gives its input back, unchanged on both sides, on servers that run side by side; perf_analyzer
loads them in turn, so that the runs of a pair meet the same machine. Beside them the floors: a bare uvicorn that
echoes, and bare round trips over the broker. What is not set up is left out, and said. Load generator and servers share
the machine: compare figures of one run with one another only. Ends with 1 when requests or runs failed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import signal
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from broker_trips import measure_trips
from comparison import compare
from identity_model import write_repository
from measurement import Run
from report import Results, tables
from servers import NotStarted, Server, ask
from side_by_side import Plan, SideBySide
from table import as_markdown, as_text

PEER = Path(os.environ.get("PEER", Path(__file__).parents[2] / "shared" / "tools" / "peer"))

#: Of the full comparison and of the quick one: pairs, milliseconds of a window, seconds at rest.
_FULL, _QUICK = (3, 2500, 20.0), (1, 500, 4.0)


def main() -> int:
    # As an exception, so that servers and temporary files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_repository(Path(folder))
        try:
            results, runs = _measure(_plan(arguments, Path(folder)))
        except NotStarted as trouble:
            sys.exit(str(trouble))
    if arguments.json:
        arguments.json.write_text(json.dumps(_raw(results, runs), indent=1))
    render = as_markdown if arguments.markdown else as_text
    print("\n".join([_versions_text(results), *(render(table) for table in tables(results)), *results.remarks]))
    return 1 if any(run.failed or run.trouble for run in runs) else 0


def _measure(plan: Plan) -> tuple[Results, list[Run]]:
    side_by_side = SideBySide(plan)
    with side_by_side.running() as running:
        versions = _versions(running)
        at_rest = side_by_side.at_rest(running)
        runs = side_by_side.runs(running)
    copies = side_by_side.copies()
    trips = measure_trips(list(plan.concurrencies), plan.run_s)
    name, remarks = side_by_side.generator.name, side_by_side.remarks
    return Results(name, versions, compare(runs), at_rest, copies, trips, remarks), runs


def _plan(arguments: argparse.Namespace, models: Path) -> Plan:
    pairs, window_ms, idle_s = _QUICK if arguments.quick else _FULL
    return Plan(
        arguments.peer.absolute(),
        models,
        arguments.pairs or pairs,
        arguments.window_ms or window_ms,
        idle_s,
        tuple(arguments.protocols),
        tuple(arguments.floats),
        tuple(arguments.concurrency),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=PEER, help="program that runs Triton and perf_analyzer [PEER]")
    parser.add_argument("--quick", action="store_true", help="one pair of short runs: under four minutes")
    parser.add_argument("--pairs", type=int, help="how often everything is repeated (default 3)")
    parser.add_argument("--window-ms", type=int, help="a run has three windows of this length (default 2500)")
    parser.add_argument("--protocols", nargs="+", choices=("http", "grpc"), default=["http", "grpc"])
    parser.add_argument("--floats", type=int, nargs="+", default=[16, 16_384, 150_000], help="sizes of the tensor")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64], help="requests in flight")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--markdown", action="store_true", help="print the tables for benchmarks/RESULTS.md")
    return parser


def _versions(running: list[Server]) -> dict[str, str]:
    """What was compared, as far as the servers tell."""
    found = {"cores": str(len(os.sched_getaffinity(0))), "Python": platform.python_version()}
    for server in running:
        try:
            found[server.name] = ask(server, "/v2")["version"]
        except (OSError, http.client.HTTPException, KeyError):
            found[server.name] = "unknown"
    found["echo"] = f"uvicorn {metadata.version('uvicorn')}"
    return found


def _versions_text(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return f"Loads by {results.generator}; {versions}.\n"


def _raw(results: Results, runs: list[Run]) -> dict[str, Any]:
    """Every figure, for other programs."""
    return {
        "generator": results.generator,
        "versions": dict(results.versions),
        "runs": [_plain(run) for run in runs],
        "idle_percent": dict(results.idle),
        "copies": [{**one._asdict(), "work": one.work._asdict(), "run": _plain(one.run)} for one in results.copies],
        "broker_trips": [one._asdict() for one in results.trips],
        "remarks": list(results.remarks),
    }


def _plain(run: Run) -> dict[str, Any]:
    figures = run.figures._asdict() if run.figures is not None else None
    return {**run._asdict(), "work": run.work._asdict(), "figures": figures}


if __name__ == "__main__":
    sys.exit(main())
