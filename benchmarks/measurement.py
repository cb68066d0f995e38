"""One run: a load on one server, what came of it, and the CPU time that each of the server's processes took for it."""

from __future__ import annotations

import http.client
from typing import NamedTuple, Protocol

import loader
import process_cpu
from identity_model import MODEL, binary_body
from loader import Figures, Load
from servers import HOST, Server, counts


class LoadFailed(Exception):
    """A load that has no figures; the text says why."""


class Work(NamedTuple):
    """What is asked of a server: "http" or "grpc", a row of `floats` FP32 values a request, `concurrency` in flight."""

    protocol: str
    floats: int
    concurrency: int


class LoadGenerator(Protocol):
    """Who keeps the requests in flight."""

    @property
    def name(self) -> str: ...

    @property
    def protocols(self) -> tuple[str, ...]: ...

    def load(self, server: Server, work: Work) -> Figures:
        """Raises LoadFailed."""
        ...


class Run(NamedTuple):
    """One run. `figures` is None when the load failed; `trouble` says how. `requests` were answered in it, those of the
    generator's warm-up included, and `failed` of them with an error. `cpu_us`: CPU microseconds per request by role."""

    server: str
    pair: int
    work: Work
    figures: Figures | None
    requests: int
    failed: int
    cpu_us: dict[str, float]
    trouble: str


class HttpLoader:
    """The loader of this folder, for where there is no perf_analyzer."""

    name = "benchmarks/loader.py"
    protocols = ("http",)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def load(self, server: Server, work: Work) -> Figures:
        path, headers, data = binary_body(work.floats)
        try:
            return loader.run(Load(HOST, server.http_port, path, data, work.concurrency, self._seconds, headers))
        except ConnectionError as error:
            raise LoadFailed(str(error)) from error


def measure(server: Server, work: Work, generator: LoadGenerator, pair: int) -> Run:
    """Load the server once. Never raises for trouble with it: a run without figures says what happened."""
    try:
        earlier, before = counts(server, MODEL), server.processes()
        figures, trouble = _load(server, work, generator)
        after, later = server.processes(), counts(server, MODEL)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Run(server.name, pair, work, None, 0, 0, {}, f"{server.name} does not tell its statistics: {error}")
    failed = later.failed - earlier.failed
    requests = later.success - earlier.success + failed
    used = process_cpu.used_s(before, after)
    cpu_us = {role: seconds * 1e6 / requests for role, seconds in used.items()} if requests else {}
    return Run(server.name, pair, work, figures, requests, failed, cpu_us, trouble)


def _load(server: Server, work: Work, generator: LoadGenerator) -> tuple[Figures | None, str]:
    try:
        return generator.load(server, work), ""
    except LoadFailed as failed:
        return None, str(failed)
