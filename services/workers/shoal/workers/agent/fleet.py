"""The table of an agent's instances and executors. It answers questions; what changes is decided by the planner."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum, auto
from itertools import chain

from shoal.core.messages import LOADING, READY, UNAVAILABLE, UNLOADING, InstanceStatus
from shoal.workers.agent.instances import InstanceKey, PlannedInstance

#: Instances with the same one share an executor process: the backend, and the instance when it lives alone.
ProcessKey = tuple[str, InstanceKey | None]


class Phase(Enum):
    """WAITING has no executor; LOADING has one that may not have said hello yet; FAILED has none and stays so."""

    WAITING = auto()
    LOADING = auto()
    READY = auto()
    UNLOADING = auto()
    FAILED = auto()


_STATES = {
    Phase.WAITING: LOADING,
    Phase.LOADING: LOADING,
    Phase.READY: READY,
    Phase.UNLOADING: UNLOADING,
    Phase.FAILED: UNAVAILABLE,
}

_ON_TRIAL = (Phase.WAITING, Phase.LOADING)


class Executor:
    """A process, from the decision to spawn it until its exit. `incarnation` is empty until it has said hello."""

    def __init__(self, number: int, key: ProcessKey, hello_by: float) -> None:
        self.number = number
        self.key = key
        self.incarnation = ""
        self.is_stopping = False
        self.next_slot = 0
        #: When it is killed: for want of a hello, or while stopping. None meanwhile.
        self.kill_at: float | None = hello_by


class Instance:
    """One instance's place in life. `crashes` counts since its last execution that came back, `times_given_up` too.

    `reason` says why it is UNAVAILABLE, and stays while what was given up is tried again. Times are those of the
    planner's clock; a time that will not come is infinite.
    """

    def __init__(self, planned: PlannedInstance) -> None:
        self.planned = planned
        self.phase = Phase.FAILED if planned.reason else Phase.WAITING
        self.reason = planned.reason
        self.executor: Executor | None = None
        self.slot = 0
        self.crashes = 0
        self.times_given_up = 0
        self.is_quarantined = False
        self.retry_at = math.inf
        #: Until when its load keeps others waiting.
        self.loads_until = 0.0
        self.recycle_failures = 0
        self.recycle_not_before = 0.0
        #: When it is to be asked to unload, infinite once it was; and when that is not waited for any longer.
        self.unload_at = math.inf
        self.unload_by = math.inf

    @property
    def lives_alone(self) -> bool:
        return self.planned.own_process or self.is_quarantined

    @property
    def process_key(self) -> ProcessKey:
        return self.planned.entry.backend, self.planned.key if self.lives_alone else None

    def leave(self, phase: Phase) -> None:
        """Be without an executor."""
        self.phase, self.executor, self.slot = phase, None, 0

    def fail(self, reason: str) -> None:
        self.leave(Phase.FAILED)
        self.reason = reason

    def status(self) -> InstanceStatus:
        if self.reason and self.phase in _ON_TRIAL:
            return InstanceStatus(*self.planned.key, "", 0, UNAVAILABLE, self.reason)
        incarnation = self.executor.incarnation if self.executor else ""
        return InstanceStatus(*self.planned.key, incarnation, self.slot, _STATES[self.phase], self.reason)


class Fleet:
    """Executors by number, and instances: those that stand for their key, in the order in which they became desired;
    fresh ones that load beside one of those to take its place; and retired ones, which unload.

    A key may stand in all three at the same time, each in an executor or at least a slot of its own.
    """

    def __init__(self) -> None:
        self.executors: dict[int, Executor] = {}
        self.instances: dict[InstanceKey, Instance] = {}
        self.fresh: dict[InstanceKey, Instance] = {}
        self.retired: list[Instance] = []

    def all(self) -> list[Instance]:
        """A copy, so that instances may be moved while it is walked."""
        return list(self._each())

    def is_fresh(self, instance: Instance) -> bool:
        return self.fresh.get(instance.planned.key) is instance

    def remove(self, instance: Instance) -> None:
        key = instance.planned.key
        for table in (self.instances, self.fresh):
            if table.get(key) is instance:
                del table[key]
        if instance in self.retired:
            self.retired.remove(instance)

    def retire(self, instance: Instance, unload_by: float) -> None:
        """It serves no more: its key is free for another, and it is listed behind all that serve."""
        self.remove(instance)
        instance.phase, instance.unload_by = Phase.UNLOADING, unload_by
        self.retired.append(instance)

    def of(self, executor: Executor) -> Iterator[Instance]:
        return (i for i in self._each() if i.executor is executor)

    def at(self, executor: int, slot: int) -> Instance | None:
        found = (i for i in self._each() if i.executor and i.executor.number == executor and i.slot == slot)
        return next(found, None)

    def executor_for(self, instance: Instance) -> Executor | None:
        """The one that takes this instance: that of its key, which must be empty when the instance lives alone."""
        candidates = (e for e in self.executors.values() if e.key == instance.process_key and not e.is_stopping)
        if instance.lives_alone:
            candidates = (e for e in candidates if not any(self.of(e)))
        return next(candidates, None)

    def unused(self) -> list[Executor]:
        used = {i.executor.number for i in self._each() if i.executor}
        return [e for e in self.executors.values() if not e.is_stopping and e.number not in used]

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Fresh instances are not listed: readiness would wait for them."""
        return tuple(instance.status() for instance in (*self.instances.values(), *self.retired))

    def _each(self) -> Iterator[Instance]:
        return chain(self.instances.values(), self.fresh.values(), self.retired)
