"""Executors that are kept for suspects: nothing else is sent there, see `alone`."""

from __future__ import annotations

from typing import NamedTuple

from shoal.scheduler.batches import BatchRef, OpenBatches

#: What else executes in a reserved executor is waited for this long.
DRAIN_LIMIT_NS = 10_000_000_000


class Reservation(NamedTuple):
    """`batch`: the suspect's, once it was sent; until then the executor drains, since `since_ns`."""

    since_ns: int
    batch: BatchRef | None


class Reservations:
    """`by_executor` is to be read only. `add`, `run`, `remove` and `give_up` are the doors of change."""

    def __init__(self) -> None:
        self.by_executor: dict[str, Reservation] = {}
        self._stuck: dict[str, tuple[BatchRef, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self.by_executor)

    def add(self, executor: str, now: int) -> None:
        self.by_executor[executor] = Reservation(now, None)

    def run(self, executor: str, batch: BatchRef, now: int) -> None:
        """A suspect's batch was sent to an executor, which is reserved from now on if it was not before."""
        self.by_executor[executor] = Reservation(now, batch)

    def remove(self, executor: str) -> None:
        del self.by_executor[executor]

    def give_up(self, executor: str, batches: OpenBatches) -> None:
        """An executor was waited for in vain: not again before what it holds now is done."""
        del self.by_executor[executor]
        self._stuck = {known: refs for known, refs in self._stuck.items() if any(ref in batches for ref in refs)}
        self._stuck[executor] = batches.on_executor(executor)

    def runs_suspect(self, executor: str, batches: OpenBatches) -> bool:
        """Whether a suspect is being executed there now."""
        found = self.by_executor.get(executor)
        return found is not None and found.batch is not None and found.batch in batches

    def is_stuck(self, executor: str, batches: OpenBatches) -> bool:
        """Whether something still executes there that was waited for in vain."""
        return any(ref in batches for ref in self._stuck.get(executor, ()))

    def overdue(self, now: int) -> list[str]:
        """The executors that have been waited for for too long."""
        return [
            executor
            for executor, (since_ns, batch) in self.by_executor.items()
            if batch is None and since_ns + DRAIN_LIMIT_NS <= now
        ]
