"""Counts of a conformance run by area (the first part of a case's id), from the report that the kit wrote.

    python tests/conformance/report.py report.json --level semantic

A semantic run tells both levels, since the kit notes for each passing case whether it would pass strictly; a strict
run tells the strict level alone.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_TOTAL = "all"


class Result(NamedTuple):
    """One case: whether it passed at the level of the run, and whether strictly."""

    area: str
    passed: bool
    strict: bool


def read(report: Path) -> list[Result]:
    """The results in a report of the kit."""
    rows = json.loads(report.read_text("utf-8"))
    return [Result(row["id"].split(".")[0], row["ok"], row["ok"] and row["strict"]) for row in rows]


def table(results: Sequence[Result], level: str) -> list[str]:
    """Lines of the table: a header, the areas by name, the sum."""
    levels = ("strict",) if level == "strict" else ("strict", "semantic")
    total: Counter[str] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for result in results:
        for area in (result.area, _TOTAL):
            total[area] += 1
            passed[area, "strict"] += result.strict
            passed[area, "semantic"] += result.passed
    lines = [f"{'AREA':<14}{'TOTAL':>7}" + "".join(f"{name.upper():>18}" for name in levels)]
    for area in (*sorted(area for area in total if area != _TOTAL), _TOTAL):
        shares = "".join(f"{_share(passed[area, name], total[area]):>18}" for name in levels)
        lines.append(f"{area:<14}{total[area]:>7}{shares}")
    return lines


def _share(passed: int, total: int) -> str:
    return f"{passed} {100 * passed / total:6.1f} %" if total else "0"


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts of a conformance run by area.")
    parser.add_argument("report", type=Path, help="what the kit wrote with --report")
    parser.add_argument("--level", choices=("semantic", "strict"), default="semantic", help="level of the run")
    arguments = parser.parse_args()
    print("\n".join(table(read(arguments.report), arguments.level)))


if __name__ == "__main__":
    main()
