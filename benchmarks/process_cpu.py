"""CPU time of a server's processes by what they are, read from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

#: What a process is, by a piece of its command line; the first that fits.
ROLES = {
    "--protocol http": "http",
    "--protocol grpc": "grpc",
    "envoy": "grpc",
    "shoal.scheduler": "scheduler",
    "shoal.workers.executor": "executor",
    "shoal.workers": "agent",
    "shoal.repository": "repository",
    "nats-server": "broker",
}

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_seconds(root: int) -> dict[str, float]:
    """CPU seconds that the living descendants of process `root` have used so far, by role."""
    used: dict[str, float] = defaultdict(float)
    for pid in _descendants(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        role = next((role for piece, role in ROLES.items() if piece in command), "other")
        used[role] += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return used


def _descendants(root: int) -> Iterator[int]:
    for task in Path(f"/proc/{root}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from _descendants(child)
