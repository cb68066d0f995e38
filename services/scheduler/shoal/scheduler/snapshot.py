"""What the scheduler holds, as plain values for people (`shoal dump`, `shoal status`)."""

from __future__ import annotations

from typing import NamedTuple

from shoal.scheduler.batches import InstanceKey
from shoal.scheduler.pool import Pool
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State


class InstanceSnapshot(NamedTuple):
    """One instance; `batch_id` and `busy_us` tell of the batch that it holds, None while it holds none.
    `is_draining`: it takes no more batches."""

    name: str
    executor: str
    slot: int
    is_draining: bool
    batch_id: int | None
    busy_us: int | None


class VersionSnapshot(NamedTuple):
    """One version: how many requests wait, for how long the oldest has, what its instances do, and (`retired`,
    `hopeless`) why it takes no requests or gets no instances."""

    model: str
    version: int
    generation: str
    queued: int
    oldest_us: int
    retired: str | None
    hopeless: str | None
    instances: tuple[InstanceSnapshot, ...]


class CoreSnapshot(NamedTuple):
    """`awaited`: requests for models that are not known (yet); `ensembles`: ensemble requests under way."""

    epoch: int
    is_adopting: bool
    open_batches: int
    awaited: int
    ensembles: int
    versions: tuple[VersionSnapshot, ...]


def take_snapshot(state: State, is_adopting: bool, now: int) -> CoreSnapshot:
    """A copy of what is there at `now`; costs time in proportion to what waits."""
    versions = tuple(_version(state, served, now) for served in state.served.values())
    ensembles = len(state.ensembles.runs)
    return CoreSnapshot(state.epoch, is_adopting, len(state.open), len(state.awaited), ensembles, versions)


def _version(state: State, served: ServedVersion, now: int) -> VersionSnapshot:
    pool = served.pool
    oldest_ns = min((entry.arrived_ns for entry in served.scheduler.waiting()), default=now)
    instances = tuple(_instance(state, pool, key, now) for key in dict.fromkeys((*pool.ready, *sorted(pool.busy))))
    waiting = served.scheduler.waiting_count
    return VersionSnapshot(*served.key, waiting, (now - oldest_ns) // 1000, served.retired, pool.hopeless, instances)


def _instance(state: State, pool: Pool, instance: InstanceKey, now: int) -> InstanceSnapshot:
    refs = set(state.open.on(instance))
    batch = next((batch for batch in state.open if batch.ref in refs), None)
    return InstanceSnapshot(
        name=pool.ready.get(instance, ""),
        executor=instance[0],
        slot=instance[1],
        is_draining=instance not in pool.ready,
        batch_id=batch.ref[1] if batch else None,
        busy_us=(now - batch.sent_ns) // 1000 if batch else None,
    )
