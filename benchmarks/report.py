"""What a comparison has found, as tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from broker_trips import Trips
from comparison import Comparison, Spread, Summary
from copies import Copied
from identity_model import size_text
from measurement import Work
from table import Table

#: Columns of the tables of CPU time and of copies, by server.
ROLES = {
    "shoal": ("http", "grpc", "scheduler", "executor", "broker", "agent", "repository", "supervisor"),
    "triton": ("server", "stub"),
    "echo": ("echo",),
}
_COPYING = {"shoal": ("http", "grpc", "scheduler", "executor"), "triton": ("server", "stub"), "echo": ("echo",)}
#: Behind figures of which a run failed, or some of whose requests did.
_MARK = "!"
_NONE = "-"


class Results(NamedTuple):
    """Everything that was measured. `idle` is CPU time at rest by server and role, in percent of one core; `remarks` is
    what could not be measured, and why."""

    generator: str
    versions: Mapping[str, str]
    comparisons: Sequence[Comparison]
    idle: Mapping[str, Mapping[str, float]]
    copies: Sequence[Copied]
    trips: Sequence[Trips]
    remarks: Sequence[str]


def tables(results: Results) -> list[Table]:
    """All tables that have rows."""
    shown = [
        _throughput(results.comparisons),
        _cpu(results.comparisons),
        _idle(results.idle),
        _copies(results.copies),
        _trips(results.trips),
    ]
    return [table for table in shown if table.rows]


def _throughput(comparisons: Sequence[Comparison]) -> Table:
    header = (
        *("work", "in flight", "Shoal/s", "Triton/s", "ratio", "(least-most)", "echo/s"),
        *("Shoal p50 ms", "Triton p50 ms", "ratio", "Shoal p99 ms", "Triton p99 ms", "failed"),
    )
    note = (
        "Throughput and latency, medians. Ratios are Shoal's figure through Triton's, pair by pair, then the median: "
        "above 1 is ahead in throughput, below 1 in latency. Echo is a bare uvicorn, which only HTTP has. "
        f"'{_MARK}' marks figures with failed requests or runs."
    )
    return Table("Shoal beside Triton", note, header, [_throughput_row(one) for one in comparisons])


def _throughput_row(one: Comparison) -> list[str]:
    shoal, triton, echo = (one.servers.get(name) for name in ("shoal", "triton", "echo"))
    failed = sum(summary.failed + len(summary.troubles) for summary in one.servers.values())
    return [
        *(_name(one.work), str(one.work.concurrency)),
        *(_rate(shoal), _rate(triton), *_spread(one.throughput_ratio), _rate(echo)),
        *(_ms(shoal and shoal.p50_ms), _ms(triton and triton.p50_ms), _spread(one.p50_ratio)[0]),
        *(_ms(shoal and shoal.p99_ms), _ms(triton and triton.p99_ms), str(failed)),
    ]


def _cpu(comparisons: Sequence[Comparison]) -> Table:
    header = ["work", "in flight"]
    for server, roles in ROLES.items():
        header += [f"{server} {role}" if server == "triton" else role for role in roles]
        header += [f"{server} sum"] if len(roles) > 1 else []
    rows = [[_name(one.work), str(one.work.concurrency), *_cpu_cells(one)] for one in comparisons]
    note = "User and system time in microseconds per request, by process, medians. At rest included."
    return Table("CPU time per request", note, header, rows)


def _cpu_cells(one: Comparison) -> list[str]:
    cells: list[str] = []
    for server, roles in ROLES.items():
        summary = one.servers.get(server)
        used = summary.cpu_us if summary else None
        cells += [_NONE if used is None else f"{used.get(role, 0.0):.0f}" for role in roles]
        if len(roles) > 1:
            cells.append(_NONE if used is None else f"{sum(used.values()):.0f}")
    return cells


def _idle(idle: Mapping[str, Mapping[str, float]]) -> Table:
    rows = [
        [server, f"{sum(used.values()):.2f}", ", ".join(f"{role} {percent:.2f}" for role, percent in used.items())]
        for server, used in idle.items()
    ]
    return Table("CPU time at rest", "Percent of one core, all servers running.", ("server", "sum", "by process"), rows)


def _copies(copies: Sequence[Copied]) -> Table:
    header = ["work"]
    for server, roles in _COPYING.items():
        header += [f"{server} {role}" for role in roles] + [f"{server} sum"] if len(roles) > 1 else roles
    works = list(dict.fromkeys(one.work for one in copies))
    by_key = {(one.server, one.work): one.per_tensor_byte for one in copies}
    rows = [[_name(work), *_copy_cells(by_key, work)] for work in works]
    note = (
        "Bytes copied in user space per byte of the tensor, which goes in and out once; one request in flight. "
        "Counted (benchmarks/copies.py). The kernel's (sockets, copy-on-write pages) are not in it, nor the broker's, "
        "which is written in Go."
    )
    return Table("Copies", note, header, rows)


def _copy_cells(by_key: Mapping[tuple[str, Work], Mapping[str, float] | None], work: Work) -> list[str]:
    cells: list[str] = []
    for server, roles in _COPYING.items():
        copied = by_key.get((server, work))
        cells += [_NONE if copied is None else f"{copied.get(role, 0.0):.2f}" for role in roles]
        if len(roles) > 1:
            cells.append(_NONE if copied is None else f"{sum(copied.values()):.2f}")
    return cells


def _trips(trips: Sequence[Trips]) -> Table:
    roles = tuple(trips[0].cpu_us) if trips else ()
    header = ("messages at once", "trips/s", "p50 ms", *(f"{role} us" for role in roles))
    rows = [
        [
            str(one.concurrency),
            f"{one.per_second:,.0f}",
            _ms(one.p50_ms),
            *(f"{one.cpu_us[role]:.0f}" for role in roles),
        ]
        for one in trips
    ]
    note = (
        "Three hops of 200 bytes by the bus, as a request takes them, with nothing else done: CPU microseconds of each "
        "process per trip."
    )
    return Table("Bare broker round trips", note, header, rows)


def _name(work: Work) -> str:
    return f"{work.protocol.replace('grpc', 'gRPC').replace('http', 'HTTP')} {size_text(work.floats)}"


def _rate(summary: Summary | None) -> str:
    if summary is None:
        return _NONE
    rate = f"{summary.per_second:,.0f}" if summary.runs else _NONE
    return rate if summary.is_sound else f"{rate} {_MARK}"


def _ms(value: float | None) -> str:
    return f"{value:.2f}" if value else _NONE


def _spread(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return _NONE, _NONE
    return f"{spread.middle:.2f}", f"{spread.least:.2f}-{spread.most:.2f}"
