"""Has the kernel killed a process for want of memory? It says so in a counter, not in the process's exit status."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


class OutOfMemoryKills:
    """The counter of our control group, or of the machine where the group has none. `look` at every check, `has_grown`
    when a process was killed: then the kill falls between two looks."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = next((file for file in _candidates(root) if _read(file) is not None), None)
        self._seen = self._count()

    def look(self) -> None:
        self._seen = self._count()

    def has_grown(self) -> bool:
        """Whether anything was killed for want of memory since the last look."""
        return self._count() > self._seen

    def _count(self) -> int:
        return (_read(self._file) or 0) if self._file else 0


def _candidates(root: Path) -> Iterator[Path]:
    """Version 2 of control groups, version 1, each as the group itself sees it and as a container does; the machine."""
    mount = root / "sys/fs/cgroup"
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield mount / path.lstrip("/") / "memory.events"
            elif "memory" in controllers.split(","):
                yield mount / "memory" / path.lstrip("/") / "memory.oom_control"
    yield mount / "memory.events"
    yield mount / "memory/memory.oom_control"
    yield root / "proc/vmstat"


def _read(file: Path) -> int | None:
    try:
        found = _COUNT.search(file.read_bytes())
    except OSError:
        return None
    return int(found.group(1)) if found else None
