"""What a server holds of the machine, by role, and that it holds no more than before and in the end nothing.

Processes come and go under faults, so uses are compared by role: the processes of a role after a fault may not be more
than before, nor have more threads or descriptors each. What is in the server's temporary folder, in `/dev/shm` and at
the broker is compared as a whole; and a server that rests holds no block of shared memory at all.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from broker_process import Broker
from shoal.memory import SHM
from shoal.memory.inspection import Segment, inspect
from shoal.memory.settings import SHM_SERVER
from shoal_server import Server

#: What says which role a command line has; the first that matches counts.
_ROLES = (
    ("shoal.workers.executor", "executor"),
    ("shoal.workers.describe", "describer"),
    ("shoal.workers ", "agent"),
    ("shoal.scheduler", "scheduler"),
    ("shoal.repository", "repository"),
    ("--protocol http", "HTTP gateway"),
    ("--protocol grpc", "gRPC gateway"),
    ("envoy ", "gRPC gateway"),
    ("nats-server", "broker"),
    ("shoal serve", "supervisor"),
)
#: Pools start their threads one by one with the work that comes; these are theirs (asyncio: the cores and four).
_POOL_THREADS = (os.cpu_count() or 1) + 4
#: The runtime of the broker keeps every thread that it ever needed.
_BROKER_THREADS = 32
#: The broker keeps its store in files that come and go.
_BROKER_DESCRIPTORS = 8
#: Idle segments go after 10 s, those of killed processes within 10 s.
_WITHIN_S = 25.0
_LOOK_INTERVAL_S = 0.2
#: Nothing has changed for this long: the server rests.
_QUIET_S = 1.0


class ProcessUse(NamedTuple):
    """One process: `descriptors` are what its descriptors refer to, `mapped` the names of the files in `/dev/shm` that
    it has mapped, `anonymous_nbytes` the proportional size of its own memory (no files, no segments)."""

    pid: int
    role: str
    threads: int
    descriptors: tuple[str, ...]
    mapped: frozenset[str]
    anonymous_nbytes: int


class Use(NamedTuple):
    """What a server uses at one moment. `files` are those of its temporary folder without the broker's store;
    `subscriptions` and `connections` those of its broker's clients, empty without a broker to ask."""

    processes: tuple[ProcessUse, ...]
    own_segments: tuple[Segment, ...]
    files: frozenset[str]
    subscriptions: Counter[str]
    connections: int

    def of(self, role: str) -> list[ProcessUse]:
        return [process for process in self.processes if process.role == role]

    @property
    def roles(self) -> Counter[str]:
        """How many processes each role has."""
        return Counter(process.role for process in self.processes)

    @property
    def segments(self) -> frozenset[str]:
        """The names of its segments, those included that only mappings keep alive."""
        mapped = (process.mapped for process in self.processes)
        return frozenset(segment.name for segment in self.own_segments).union(*mapped)

    @property
    def segment_nbytes(self) -> int:
        return sum(segment.nbytes for segment in self.own_segments)

    @property
    def held_blocks(self) -> list[str]:
        """Who holds how much of whose memory, in words; empty when no block is allocated."""
        return [
            f"{holding.holder or 'nobody'} holds {holding.blocks} blocks ({holding.nbytes} bytes) of {segment.name}"
            for segment in self.own_segments
            for holding in segment.holdings
        ]


class LeakCheck:
    """For one server; `broker` is the one it is told to use, if any.

    `baseline` and `steady` bracket the work while the server runs, `nothing_left` is for when it has ended. All three
    block, and fail with every single excess named.
    """

    def __init__(self, server: Server, broker: Broker | None = None) -> None:
        self._server = server
        self._broker = broker
        self._name: str | None = None

    def look(self) -> Use:
        """What it uses now."""
        running = self._server.processes()
        if self._name is None:
            self._name = next(filter(None, map(_server_name, running)), None)
        return Use(
            processes=tuple(filter(None, (_process_use(*found) for found in running.items()))),
            own_segments=self._segments(),
            files=_files(self._server.folder),
            subscriptions=Counter(map(_general, self._broker.subscriptions() if self._broker else ())),
            connections=self._broker.connections() if self._broker else 0,
        )

    def baseline(self) -> Use:
        """What it uses at rest: call it after a load has warmed everything up, and with no client connected."""
        deadline = time.monotonic() + _WITHIN_S
        use, since = self.look(), time.monotonic()
        while use.held_blocks or time.monotonic() < since + _QUIET_S:
            assert time.monotonic() < deadline, f"the server does not come to rest: {_counts(use)} {use.held_blocks}"
            time.sleep(_LOOK_INTERVAL_S)
            now = self.look()
            if _counts(now) != _counts(use):
                since = time.monotonic()
            use = now
        return use

    def steady(self, baseline: Use, within_s: float = _WITHIN_S) -> Use:
        """Wait until it uses no more than it did, and has every process that it had; returns what it uses."""
        deadline = time.monotonic() + within_s
        while excess := grown(baseline, use := self.look()):
            assert time.monotonic() < deadline, "the server uses more than before:\n  " + "\n  ".join(excess)
            time.sleep(_LOOK_INTERVAL_S)
        return use

    def nothing_left(self, within_s: float = 5.0) -> None:
        """Wait until nothing is left of it, which has ended: no process, segment, file or subscription."""
        deadline = time.monotonic() + within_s
        while left := self._left():
            assert time.monotonic() < deadline, "the server left behind:\n  " + "\n  ".join(left)
            time.sleep(_LOOK_INTERVAL_S)

    def _segments(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in inspect() if self._name and segment.header.server == self._name)

    def _left(self) -> list[str]:
        subscriptions = self._broker.subscriptions() if self._broker else []
        return [
            *(f"process {pid}: {command}" for pid, command in self._server.processes().items()),
            *(f"segment {SHM / segment.name}" for segment in self._segments()),
            *(f"file {path}" for path in sorted(self._server.folder.rglob("*"))),
            *(f"subscription {subject}" for subject in subscriptions if not subject.startswith("$SYS")),
        ]


def grown(before: Use, now: Use) -> list[str]:
    """Where `now` is more than `before`, in words; also where a process is missing, and what of shared memory is held
    at all."""
    found = [
        f"{now.roles[role]} processes of role {role}, expected {before.roles[role]}"
        for role in sorted({*before.roles, *now.roles})
        if now.roles[role] != before.roles[role]
    ]
    for role in before.roles:
        found += _grown_role(role, before.of(role), now.of(role))
    for what, old, new in (
        ("temporary files", before.files, now.files),
        ("segments", before.segments, now.segments),
    ):
        if len(new) > len(old):
            found.append(f"{len(new)} {what}, before {len(old)}; new: {_some(new - old)}")
    if now.connections > before.connections:
        found.append(f"{now.connections} connections to the broker, before {before.connections}")
    if extra := now.subscriptions - before.subscriptions:
        found.append(f"subscriptions that were not there: {_some(extra.elements())}")
    return found + now.held_blocks


def role_of(command: str) -> str:
    """The role of the process with that command line."""
    return next((role for text, role in _ROLES if text in f"{command} "), f"other: {command[:80]}")


def _server_name(pid: int) -> str | None:
    """What the segments of this process say they belong to."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((entry.partition("=")[2] for entry in environment if entry.startswith(f"{SHM_SERVER}=")), None)


def _process_use(pid: int, command: str) -> ProcessUse | None:
    """None when it has ended meanwhile."""
    proc = Path(f"/proc/{pid}")
    try:
        threads = len(list((proc / "task").iterdir()))
        descriptors = tuple(filter(None, map(_target, (proc / "fd").iterdir())))
        mapped = re.findall(rf"{SHM}/(shoal-.*)$", (proc / "maps").read_text(), re.MULTILINE)
        anonymous = re.search(r"^Pss_Anon:\s+(\d+) kB", (proc / "smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return None
    nbytes = int(anonymous[1]) * 1024 if anonymous else 0
    return ProcessUse(pid, role_of(command), threads, descriptors, frozenset(mapped), nbytes)


def _target(entry: Path) -> str | None:
    try:
        return os.readlink(entry)
    except OSError:
        return None


def _files(folder: Path) -> frozenset[str]:
    names = (path.relative_to(folder) for path in folder.rglob("*"))
    return frozenset(str(name) for name in names if "broker" not in name.parts)


def _general(subject: str) -> str:
    """A subject with what is new at each start of a process made alike."""
    return re.sub(r"-[0-9a-f]{12}\b", "-*", subject)


def _grown_role(role: str, before: list[ProcessUse], now: list[ProcessUse]) -> list[str]:
    """Compared in order of size, since nothing tells which process took whose place."""
    found = []
    free_threads = _BROKER_THREADS if role == "broker" else _POOL_THREADS
    free_descriptors = _BROKER_DESCRIPTORS if role == "broker" else 0
    for old, new in zip(*(sorted(each, key=lambda use: use.threads) for each in (before, now)), strict=False):
        if new.threads > old.threads + free_threads:
            found.append(f"{role} {new.pid}: {new.threads} threads, before {old.threads}")
    for old, new in zip(*(sorted(each, key=lambda use: len(use.descriptors)) for each in (before, now)), strict=False):
        if len(new.descriptors) > len(old.descriptors) + free_descriptors:
            extra = Counter(map(_kind, new.descriptors)) - Counter(map(_kind, old.descriptors))
            count = f"{len(new.descriptors)} descriptors, before {len(old.descriptors)}"
            found.append(f"{role} {new.pid}: {count}; more of: {_some(extra.elements())}")
    return found


def _kind(target: str) -> str:
    """What a descriptor refers to, without what makes two of a kind different."""
    return re.sub(r"\d+|(?<=shoal-)[^/]*", "N", target)


def _counts(use: Use) -> tuple[object, ...]:
    counted = sorted((p.role, p.threads, len(p.descriptors)) for p in use.processes if p.role != "broker")
    return tuple(counted), len(use.own_segments), len(use.files), sum(use.subscriptions.values()), use.connections


def _some(names: Iterable[str], limit: int = 8) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + more
