"""Which backends this worker can offer: those whose entry point loads and whose framework is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from shoal.telemetry.logs import get_logger
from shoal.workers.backend import Backend

ENTRY_POINT_GROUP = "shoal.backends"

_log = get_logger("agent")


class BackendInfo(NamedTuple):
    """A backend on offer. `entry_point` is `module:class`, as an executor is told; `backend` the class itself, of which
    the agent uses class attributes and `is_complete` alone."""

    name: str
    entry_point: str
    backend: type[Backend]


def available_backends(points: Iterable[EntryPoint] | None = None) -> dict[str, BackendInfo]:
    """Backends by name, sorted. `points` defaults to those of the installed distributions.

    A backend that cannot be imported, or whose framework is not installed, is left out and logged; no framework is
    imported to find that out.
    """
    found: dict[str, BackendInfo] = {}
    for point in sorted(points if points is not None else entry_points(group=ENTRY_POINT_GROUP)):
        try:
            backend: type[Backend] = point.load()
        except Exception as error:  # third-party code: whatever it raises, the others are still on offer
            _log.warning("backend left out", backend=point.name, why=f"{type(error).__name__}: {error}")
            continue
        missing = _missing_modules(backend)
        if missing:
            _log.info("backend left out", backend=point.name, why=f"not installed: {', '.join(missing)}")
        else:
            found[point.name] = BackendInfo(point.name, point.value, backend)
    return found


def _missing_modules(backend: type[Backend]) -> list[str]:
    return [name for name in backend.requires if importlib.util.find_spec(name) is None]
