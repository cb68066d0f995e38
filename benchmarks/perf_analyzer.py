"""A closed loop of requests by perf_analyzer, by way of the program `peer` that has it."""

from __future__ import annotations

import csv
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from identity_model import INPUT, MODEL
from loader import Figures
from measurement import LoadFailed, Work
from servers import Server

#: perf_analyzer reports this many windows together once they differ by less than a given percentage. As many are the
#: most it may take, and no difference is too much: so each run ends with figures, after the same time, and it is the
#: pairs of runs that show the spread.
WINDOWS = 3
_STABILITY_PERCENT = 1_000_000
#: For its own start, its questions about the model and its last answers.
_EXTRA_S = 60.0
_SHOWN_OUTPUT_CHARACTERS = 300


class PerfAnalyzer:
    """Loads of `WINDOWS` windows of `window_ms` each."""

    name = "perf_analyzer"
    protocols = ("http", "grpc")

    def __init__(self, peer: Path, window_ms: int) -> None:
        self._peer = peer
        self.window_ms = window_ms

    def works(self) -> bool:
        """Whether it is set up."""
        return self._run(("--version",)).returncode == 0

    def load(self, server: Server, work: Work) -> Figures:
        """Keep `work.concurrency` requests in flight. Raises LoadFailed when perf_analyzer gave up, which it does
        at the first request that fails."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.csv"
            ended = self._run(self.arguments(server.address(work.protocol), work, report))
            if ended.returncode != 0:
                text = " ".join((ended.stdout + ended.stderr).split())
                raise LoadFailed(f"perf_analyzer ended with {ended.returncode}: {text[-_SHOWN_OUTPUT_CHARACTERS:]}")
            return figures(report.read_text())

    def arguments(self, address: str, work: Work, report: Path) -> list[str]:
        return [
            *("-m", MODEL, "-u", address, "-i", work.protocol, "--shape", f"{INPUT}:{work.floats}"),
            *("--concurrency-range", str(work.concurrency), "-p", str(self.window_ms)),
            *("-r", str(WINDOWS), "-s", str(_STABILITY_PERCENT), "-f", str(report)),
        ]

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        argv = [str(self._peer), "perf", *arguments]
        limit_s = self.window_ms * WINDOWS / 1000 + _EXTRA_S
        try:
            return subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 124, "", f"no end within {limit_s:.0f} s")
        except OSError as error:
            return subprocess.CompletedProcess(argv, 127, "", str(error))


def figures(report: str) -> Figures:
    """The one line of the report (CSV) that perf_analyzer writes. Raises LoadFailed when it is another one."""
    rows = list(csv.DictReader(report.splitlines()))
    try:
        (row,) = rows
        p50_ms, p99_ms = float(row["p50 latency"]) / 1000, float(row["p99 latency"]) / 1000
        return Figures(float(row["Inferences/Second"]), p50_ms, p99_ms, 0)
    except (KeyError, ValueError) as error:
        raise LoadFailed(
            f"perf_analyzer's report is not understood ({error}): {report[:_SHOWN_OUTPUT_CHARACTERS]}"
        ) from error
