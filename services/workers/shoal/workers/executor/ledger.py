"""Which batches this executor holds or has done, under which epoch. Pure."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto

from shoal.core.messages import RunningBatch

#: Done batches that are remembered; a scheduler asks within seconds, so this covers minutes of the smallest batches.
DONE_LIMIT = 16384

BatchKey = tuple[int, int]


class Arrival(Enum):
    """What a batch that arrives is: NEW, one held already, one done already, or of a scheduler that lost the models."""

    NEW = auto()
    HELD = auto()
    DONE = auto()
    OUTDATED = auto()


class BatchLedger:
    """Batches by (epoch, batch id); used by the loop's thread alone. `epoch` and `owner` are the highest seen."""

    def __init__(self, done_limit: int = DONE_LIMIT) -> None:
        self._done_limit = done_limit
        self._held: dict[BatchKey, RunningBatch] = {}
        self._done: OrderedDict[BatchKey, RunningBatch] = OrderedDict()
        self.epoch = 0
        self.owner = ""

    def meet_owner(self, epoch: int, owner: str) -> bool:
        """Learn of an owner; True when it is a new one, who wants a report."""
        if epoch <= self.epoch:
            return False
        self.epoch, self.owner = epoch, owner
        return True

    def arrival(self, epoch: int, batch_id: int) -> Arrival:
        if epoch < self.epoch:
            return Arrival.OUTDATED
        key = (epoch, batch_id)
        if key in self._held:
            return Arrival.HELD
        return Arrival.DONE if key in self._done else Arrival.NEW

    def hold(self, batch: RunningBatch) -> None:
        """The batch waits or executes here from now on."""
        self._held[batch.epoch, batch.batch_id] = batch

    def finish(self, epoch: int, batch_id: int) -> None:
        """The batch is done; its answers are on their way."""
        batch = self._held.pop((epoch, batch_id), None)
        if batch is not None:
            self._done[epoch, batch_id] = batch
            if len(self._done) > self._done_limit:
                self._done.popitem(last=False)

    def held(self) -> tuple[RunningBatch, ...]:
        return tuple(self._held.values())

    def done(self, epoch: int, batch_id: int) -> RunningBatch | None:
        return self._done.get((epoch, batch_id))

    def unknown(self, epoch: int, batch_ids: tuple[int, ...]) -> tuple[int, ...]:
        """Those neither held nor remembered as done."""
        return tuple(b for b in batch_ids if (epoch, b) not in self._held and (epoch, b) not in self._done)
