"""Everything that the scheduler knows, in one place. The modules of its rules change it; the core owns it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal

from shoal.core.messages import RequestKey
from shoal.scheduler.awaited import AwaitedRequests
from shoal.scheduler.batches import InstanceKey, OpenBatches, VersionKey
from shoal.scheduler.ensembles import Ensembles
from shoal.scheduler.finished import FinishedRequests
from shoal.scheduler.hosts import Hosts
from shoal.scheduler.pool import Pool
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.resends import Resends
from shoal.scheduler.reservations import Reservations
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.timers import Timers

#: What may be looked at when its time has come, beside a version.
Chore = Literal["adoption", "awaited", "ensembles", "open batches", "resting", "suspects"]


class State:
    """`queued` tells for each waiting request where it waits; a request is in at most one of `queued`, `open`,
    `awaited` and `ensembles.runs`. `generations` has the generation served of each model with its `versions`, the
    highest first; `superseded` those before it."""

    def __init__(self, epoch: int, own: str, counters: Iterator[int]) -> None:
        self.epoch = epoch
        self.generations: dict[str, str] = {}
        self.versions: dict[str, tuple[int, ...]] = {}
        self.superseded: dict[str, tuple[str, ...]] = {}
        self.served: dict[VersionKey, ServedVersion] = {}
        self.pools: dict[VersionKey, Pool] = {}
        self.pool_of: dict[InstanceKey, Pool] = {}
        self.reservations = Reservations()
        #: The versions that have suspects waiting (or had, until somebody looks), the next in turn first.
        self.suspicious: dict[ServedVersion, None] = {}
        self.queued: dict[RequestKey, ServedVersion] = {}
        self.open = OpenBatches()
        self.awaited = AwaitedRequests()
        self.ensembles = Ensembles(own, counters)
        self.hosts = Hosts()
        self.finished = FinishedRequests()
        self.resends = Resends()
        #: Running requests that nobody waits for any more: not to be tried again.
        self.cancelled: set[RequestKey] = set()
        #: Instances that did not take their last batch, and when they get another one.
        self.resting: deque[tuple[int, InstanceKey]] = deque()
        #: Executors that have not told what they hold from owners before us, and until when they are waited for.
        self.unreported: set[str] = set()
        self.unreported_until_ns = 0
        self.timers: Timers[VersionKey | Chore] = Timers()
        self.last_batch_id = 0

    def pool(self, key: VersionKey, now: int) -> Pool:
        """The instances of this version, known or not."""
        found = self.pools.get(key)
        if found is None:
            found = self.pools[key] = Pool(key, now, self.reservations.by_executor)
        return found

    def has(self, key: RequestKey) -> bool:
        """Whether this request is in our hands."""
        return key in self.queued or self.open.is_running(key) or key in self.awaited or key in self.ensembles.runs

    def has_older(self, at_ns: int) -> bool:
        """Whether a request or batch is in our hands that came before this time."""
        waiting = (entry.arrived_ns for served in self.served.values() for entry in served.scheduler.waiting())
        running = (min((e.arrived_ns for e in batch.members), default=batch.sent_ns) for batch in self.open)
        ensembles = (run.entry.arrived_ns for run in self.ensembles.runs.values())
        times = (*waiting, *running, *ensembles, *self.awaited.arrivals_ns())
        return min(times, default=at_ns) < at_ns

    def take_out(self, key: RequestKey) -> QueuedRequest | None:
        """Let a request wait no longer; None for one that is not queued."""
        served = self.queued.pop(key, None)
        return None if served is None else served.scheduler.remove(key)

    def queue_again(self, served: ServedVersion, entries: list[QueuedRequest]) -> None:
        """Requests wait again, in front of all others."""
        served.scheduler.requeue(entries)
        for entry in entries:
            self.queued[entry.key] = served
        if served.scheduler.suspects:
            self.suspicious[served] = None

    def forget_if_done(self, served: ServedVersion) -> None:
        if served.is_done and self.served.get(served.key) is served:
            del self.served[served.key]
            self.forget_pool_if_unused(served.pool)

    def forget_pool_if_unused(self, pool: Pool) -> None:
        if pool.is_unused and pool.hopeless is None and pool.key not in self.served:
            self.pools.pop(pool.key, None)
