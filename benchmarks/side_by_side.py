"""The steps of a comparison: servers side by side, loaded in turn; at rest; with their copies counted."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

import servers
from copies import Copied, CopyCounter, NoCompiler
from identity_model import size_text
from measurement import HttpLoader, LoadGenerator, Run, Work, measure
from perf_analyzer import WINDOWS, PerfAnalyzer
from process_cpu import machine_busy_s, used_s
from servers import NotStarted, Server

#: Smaller tensors travel inside messages, and are smaller than the copies that are counted.
_COUNTED_FROM_FLOATS = 4096
_COUNTING_WINDOW_MS = 300
#: More than this of one core for other programs spoils a comparison.
_QUIET_PERCENT = 10.0
#: How many requests in flight warm a server up.
_WARM_UP_CONCURRENCY = 8


class Plan(NamedTuple):
    """What is to be compared: `peer` is the program that runs Triton and perf_analyzer, `models` a repository with the
    identity model; each of the products of the last three is loaded for three windows of `window_ms`, `pairs` times."""

    peer: Path
    models: Path
    pairs: int
    window_ms: int
    idle_s: float
    protocols: tuple[str, ...]
    floats: tuple[int, ...]
    concurrencies: tuple[int, ...]

    @property
    def run_s(self) -> float:
        return self.window_ms * WINDOWS / 1000


class SideBySide:
    """`remarks` gathers what could not be done, and why; progress goes to standard error."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.remarks: list[str] = []
        self.generator = self._generator(plan.window_ms)

    @contextlib.contextmanager
    def running(self) -> Iterator[list[Server]]:
        """Shoal and, where they start, Triton and the echo, all warm. Raises NotStarted for Shoal."""
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(self._start("shoal"))]
            for name in ("triton", "echo"):
                with self._remarked(NotStarted):
                    running.append(stack.enter_context(self._start(name)))
            for one in running:
                measure(one, Work("http", 16, _WARM_UP_CONCURRENCY), self._generator(_COUNTING_WINDOW_MS), 0)
            yield running

    def runs(self, running: list[Server]) -> list[Run]:
        """Every work on every server, one after the other; then the next pair."""
        plan, runs = self._plan, list[Run]()
        protocols = [protocol for protocol in plan.protocols if protocol in self.generator.protocols]
        for pair in range(plan.pairs):
            for work in map(Work._make, product(protocols, plan.floats, plan.concurrencies)):
                for server in running:
                    if _speaks(server, work.protocol):
                        runs.append(measure(server, work, self.generator, pair))
                        _tell(runs[-1], f"pair {pair + 1} of {plan.pairs}")
        return runs

    def at_rest(self, running: list[Server]) -> dict[str, dict[str, float]]:
        """CPU time of each server's processes while nobody asks, in percent of a core; and that of the rest of the
        machine, which should have been at rest as well."""
        before = {server.name: server.processes() for server in running}
        busy_before_s = machine_busy_s()
        time.sleep(self._plan.idle_s)
        used = {server.name: dict(used_s(before[server.name], server.processes())) for server in running}
        others_s = machine_busy_s() - busy_before_s - sum(sum(by_role.values()) for by_role in used.values())
        percent = 100 / self._plan.idle_s
        if others_s * percent > _QUIET_PERCENT:
            self._remark(f"other programs took {others_s * percent:.0f} % of a core at the start: figures may be off")
        used["the rest of the machine"] = {"all": max(0.0, others_s)}
        return {name: {role: round(cpu_s * percent, 2) for role, cpu_s in row.items()} for name, row in used.items()}

    def copies(self) -> list[Copied]:
        """On servers of their own, since counting slows them down."""
        counted: list[Copied] = []
        for name in ("shoal", "triton", "echo"):
            with self._remarked(NoCompiler, NotStarted), tempfile.TemporaryDirectory() as folder:
                counter = CopyCounter(Path(folder))
                with self._start(name, counter.environment) as server:
                    counted += self._copies(counter, server)
        return counted

    def _copies(self, counter: CopyCounter, server: Server) -> Iterator[Copied]:
        generator = self._generator(_COUNTING_WINDOW_MS)
        sizes = [floats for floats in self._plan.floats if floats >= _COUNTED_FROM_FLOATS]
        for protocol, floats in product(self._plan.protocols, sizes):
            if protocol in generator.protocols and _speaks(server, protocol):
                copied = counter.count(server, Work(protocol, floats, 1), generator)
                _tell(copied.run, "counting copies")
                yield copied

    def _start(
        self, name: str, environment: Mapping[str, str] | None = None
    ) -> contextlib.AbstractContextManager[Server]:
        if name == "triton":
            return servers.triton(self._plan.peer, self._plan.models, environment)
        return servers.echo(environment) if name == "echo" else servers.shoal(self._plan.models, environment)

    def _generator(self, window_ms: int) -> LoadGenerator:
        perf_analyzer = PerfAnalyzer(self._plan.peer, window_ms)
        if perf_analyzer.works():
            return perf_analyzer
        self._remark(f"no perf_analyzer at {self._plan.peer} ('setup' installs it): HTTP alone, by {HttpLoader.name}")
        return HttpLoader(window_ms * WINDOWS / 1000)

    @contextlib.contextmanager
    def _remarked(self, *expected: type[Exception]) -> Iterator[None]:
        try:
            yield
        except expected as trouble:
            self._remark(str(trouble))

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)


def _speaks(server: Server, protocol: str) -> bool:
    return protocol == "http" or server.grpc_port > 0


def _tell(run: Run, what: str) -> None:
    protocol, floats, concurrency = run.work
    found = run.trouble
    if run.figures is not None:
        found = f"{run.figures.per_second:>8.0f}/s  p50 {run.figures.p50_ms:8.2f} ms  {run.failed} failed"
    line = f"{what}: {protocol:<4} {size_text(floats):>9} {concurrency:>3} in flight  {run.server:<7} {found}"
    print(line, file=sys.stderr, flush=True)
