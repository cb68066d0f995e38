"""Counts of a conformance run by area (the first part of a case's id), from the report that the kit wrote, and the
cases that did not pass, with the reasons that are known.

    python tests/conformance/report.py report.json --level semantic

A semantic run tells both levels, since the kit notes for each passing case whether it would pass strictly; a strict
run tells the strict level alone. Reasons stand in a table of README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

#: Where every case that does not pass has a reason.
EXPLAINED_AREAS = ("http", "grpc", "tc", "shm", "generate", "generate_stream", "restricted", "log", "trace")

_TOTAL = "all"
_ROW = re.compile(r"\| `(?P<case>[^`]+)` \| (?P<level>strict|semantic) \| (?P<reason>.+) \|")


class Result(NamedTuple):
    """One case: whether it passed at the level of the run, and whether strictly."""

    case: str
    passed: bool
    strict: bool

    @property
    def area(self) -> str:
        return self.case.split(".")[0]


def read(report: Path) -> list[Result]:
    """The results in a report of the kit."""
    rows = json.loads(report.read_text("utf-8"))
    return [Result(row["id"], row["ok"], row["ok"] and row["strict"]) for row in rows]


def read_reasons(readme: Path) -> dict[str, str]:
    """Why cases do not pass, by the pattern of their ids."""
    rows = map(_ROW.fullmatch, readme.read_text("utf-8").splitlines())
    return {row["case"]: row["reason"] for row in rows if row is not None}


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


def failures(results: Sequence[Result], reasons: Mapping[str, str]) -> list[str]:
    """A line for each case of the explained areas that did not pass strictly, and for each reason that nothing needs
    any more."""
    lines = []
    for result in results:
        if result.strict or result.area not in EXPLAINED_AREAS:
            continue
        known = (reason for pattern, reason in reasons.items() if fnmatchcase(result.case, pattern))
        level = "strict" if result.passed else "failed"
        lines.append(
            f"{level:<8}{result.case:<40}{next(known, 'NO REASON IS KNOWN: mend it, or list it in README.md')}"
        )
    return lines + [
        f"{'passed':<8}{pattern:<40}IS LISTED IN README.md: remove it"
        for pattern in reasons
        if _all_passed(pattern, results)
    ]


def _all_passed(pattern: str, results: Sequence[Result]) -> bool:
    matching = [result.strict for result in results if fnmatchcase(result.case, pattern)]
    return bool(matching) and all(matching)


def _share(passed: int, total: int) -> str:
    return f"{passed} {100 * passed / total:6.1f} %" if total else "0"


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts of a conformance run by area, and what did not pass.")
    parser.add_argument("report", type=Path, help="what the kit wrote with --report")
    parser.add_argument("--level", choices=("semantic", "strict"), default="semantic", help="level of the run")
    readme = Path(__file__).with_name("README.md")
    parser.add_argument("--readme", type=Path, default=readme, help="where the reasons are")
    arguments = parser.parse_args()
    results = read(arguments.report)
    print("\n".join([*table(results, arguments.level), *failures(results, read_reasons(arguments.readme))]))


if __name__ == "__main__":
    main()
