"""From single runs to medians and ratios. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from loader import Figures
from measurement import Run, Work


class Summary(NamedTuple):
    """Medians of the runs that have figures. `failed` counts failed requests, `troubles` tells of the runs without
    figures; with either of them the figures are not to be trusted."""

    runs: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]
    failed: int
    troubles: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        return self.runs > 0 and self.failed == 0 and not self.troubles


class Spread(NamedTuple):
    """A median with the least and the most of what it was made of."""

    middle: float
    least: float
    most: float


class Comparison(NamedTuple):
    """One work on every server. Ratios are Shoal's figure through Triton's, taken pair by pair; None without pairs."""

    work: Work
    servers: dict[str, Summary]
    throughput_ratio: Spread | None
    p50_ratio: Spread | None


def compare(runs: Iterable[Run]) -> list[Comparison]:
    """The works in the order in which they were first done."""
    by_work: dict[Work, list[Run]] = defaultdict(list)
    for run in runs:
        by_work[run.work].append(run)
    return [_comparison(work, of_work) for work, of_work in by_work.items()]


def summarize(runs: Sequence[Run]) -> Summary:
    """The runs of one work on one server."""
    figures = [run.figures for run in runs if run.figures is not None]
    failed = sum(run.failed for run in runs) + sum(one.failed for one in figures)
    troubles = tuple(run.trouble for run in runs if run.trouble)
    return Summary(
        len(figures),
        _median([one.per_second for one in figures]),
        _median([one.p50_ms for one in figures]),
        _median([one.p99_ms for one in figures]),
        _median_by_role([run.cpu_us for run in runs if run.figures is not None]),
        failed,
        troubles,
    )


def _comparison(work: Work, runs: Sequence[Run]) -> Comparison:
    names = dict.fromkeys(run.server for run in runs)
    servers = {name: summarize([run for run in runs if run.server == name]) for name in names}
    pairs = _pairs(runs)
    return Comparison(
        work,
        servers,
        _spread([ours.per_second / theirs.per_second for ours, theirs in pairs if theirs.per_second]),
        _spread([ours.p50_ms / theirs.p50_ms for ours, theirs in pairs if theirs.p50_ms]),
    )


def _pairs(runs: Sequence[Run]) -> list[tuple[Figures, Figures]]:
    ours = {run.pair: run.figures for run in runs if run.server == "shoal" and run.figures is not None}
    theirs = {run.pair: run.figures for run in runs if run.server == "triton" and run.figures is not None}
    return [(figures, theirs[pair]) for pair, figures in ours.items() if pair in theirs]


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(median(values), min(values), max(values)) if values else None


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0


def _median_by_role(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    roles = dict.fromkeys(role for row in rows for role in row)
    return {role: median([row.get(role, 0.0) for row in rows]) for role in roles}
