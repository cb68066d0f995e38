"""CPU time of a server's processes by what they are, read from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

#: What a process of Shoal is, by a piece of its command line; the first that fits.
SHOAL = {
    "--protocol http": "http",
    "--protocol grpc": "grpc",
    "envoy": "grpc",
    "shoal.scheduler": "scheduler",
    "shoal.workers.executor": "executor",
    "shoal.workers": "agent",
    "shoal.repository": "repository",
    "nats-server": "broker",
    "shoal.cli": "supervisor",
}

#: The same for Triton with a python model.
TRITON = {"triton_python_backend_stub": "stub", "tritonserver": "server"}

OTHER = "other"

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """A process that lives, and the user and system time that it has used so far."""

    role: str
    cpu_s: float


def processes(root: int, roles: Mapping[str, str]) -> dict[int, Process]:
    """Process `root` and its living descendants, by process id; `roles` as SHOAL and TRITON."""
    found: dict[int, Process] = {}
    for pid in (root, *_descendants(root)):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        role = next((role for piece, role in roles.items() if piece in command), OTHER)
        found[pid] = Process(role, (int(fields[11]) + int(fields[12])) / _TICKS_PER_S)
    return found


def used_s(before: Mapping[int, Process], after: Mapping[int, Process]) -> dict[str, float]:
    """CPU seconds by role between two looks. A process that started in between counts from its start, one that ended
    does not count."""
    used: dict[str, float] = defaultdict(float)
    for pid, (role, cpu_s) in after.items():
        earlier = before.get(pid)
        used[role] += cpu_s - (earlier.cpu_s if earlier is not None else 0.0)
    return used


def machine_busy_s() -> float:
    """CPU seconds that all cores of the machine have been busy since it started."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, _machine_fields()[:8])
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S


def _machine_fields() -> list[str]:
    return Path("/proc/stat").read_text().partition("\n")[0].split()[1:]


def _descendants(root: int) -> Iterator[int]:
    for task in Path(f"/proc/{root}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in map(int, children):
            yield child
            yield from _descendants(child)
