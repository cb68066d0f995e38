"""Watches a start over the bus until every service was heard and every model is ready or has failed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from shoal.bus import Bus, BusSettings, Peer, View
from shoal.cli.startup import Progress, progress
from shoal.core.desired import ModelEntry, decode_model, decode_status
from shoal.telemetry.logs import get_logger

ROLES = ("gateway", "scheduler", "repository", "agent")

#: The first heartbeat of a service comes within this time, also on a machine that is busy with the start.
SERVICES_DEADLINE_S = 60.0
#: Models may take as long as they like; so often it is said which ones are awaited.
REMARK_INTERVAL_S = 10.0

_log = get_logger("serve")


class StartUpFailed(Exception):
    """A start that will not succeed; the text says what did not come up."""


async def watch_start(
    settings: BusSettings, services: Sequence[str], pids: Callable[[], Mapping[str, int]]
) -> Progress:
    """Wait for the end of the start. `services` are to be heard; `pids` gives the process ids of those that run now.

    Raises StartUpFailed when a service is not heard within a minute, Unavailable when the broker cannot be reached.
    """
    bus = await Bus.connect(settings, role="cli", listen_to=ROLES)

    def missing() -> list[str]:
        heard = _heard(bus.host, pids(), bus.peers.values())
        return [name for name in services if name not in heard]

    try:
        changed = asyncio.Event()
        bus.watch_peers(lambda _: changed.set())
        await bus.start()
        desired = await View.open(bus, "desired", on_change=lambda *_: changed.set())
        repository = await View.open(bus, "repository", on_change=lambda *_: changed.set())
        try:
            return await _until_done(changed, lambda: _look(bus, desired, repository, missing()))
        finally:
            await desired.close()
            await repository.close()
    finally:
        await bus.close()


async def _until_done(changed: asyncio.Event, look: Callable[[], Progress]) -> Progress:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SERVICES_DEADLINE_S
    remark_at = loop.time() + REMARK_INTERVAL_S
    while not (seen := look()).is_done:
        if seen.missing and loop.time() > deadline:
            raise StartUpFailed(f"no sign of {', '.join(seen.missing)} within {SERVICES_DEADLINE_S:.0f} s")
        if loop.time() > remark_at:
            remark_at += REMARK_INTERVAL_S
            _log.info("start goes on", waiting_for=seen.awaited())
        changed.clear()
        try:
            await asyncio.wait_for(changed.wait(), REMARK_INTERVAL_S)
        except TimeoutError:
            continue
    return seen


def _look(bus: Bus, desired: View, repository: View, missing: Sequence[str]) -> Progress:
    status = repository.get("status")
    agents = {i: peer.heartbeat.instances for i, peer in bus.peers.items() if peer.role == "agent"}
    entries: dict[str, ModelEntry] = {key: decode_model(value) for key, value in desired.items()}
    return progress(missing, decode_status(status) if status else None, entries, agents)


def _heard(host: str, pids: Mapping[str, int], peers: Iterable[Peer]) -> set[str]:
    """The services of this host that beat. Each leads a session of its own, and may beat from a child. Those that name
    no host use no shared memory, and may be here."""
    here = (peer for peer in peers if peer.heartbeat.host in ("", host) and not peer.suspected)
    sessions = {_session(peer.heartbeat.pid) for peer in here}
    return {name for name, pid in pids.items() if pid in sessions}


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
