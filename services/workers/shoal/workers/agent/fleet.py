"""The table of an agent's instances and executors. It answers questions; what changes is decided by the planner."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto

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
    """One instance's place in life. `crashes` counts since its last execution that came back."""

    def __init__(self, planned: PlannedInstance) -> None:
        self.planned = planned
        self.phase = Phase.FAILED if planned.reason else Phase.WAITING
        self.reason = planned.reason
        self.executor: Executor | None = None
        self.slot = 0
        self.crashes = 0
        self.is_quarantined = False
        self.unload_by = 0.0

    @property
    def process_key(self) -> ProcessKey:
        alone = self.planned.own_process or self.is_quarantined
        return self.planned.entry.backend, self.planned.key if alone else None

    def leave(self, phase: Phase, reason: str = "") -> None:
        """Be without an executor, waiting or failed."""
        self.phase, self.reason, self.executor, self.slot = phase, reason, None, 0

    def status(self) -> InstanceStatus:
        incarnation = self.executor.incarnation if self.executor else ""
        return InstanceStatus(*self.planned.key, incarnation, self.slot, _STATES[self.phase], self.reason)


class Fleet:
    """Instances in the order in which they became desired, and executors by number."""

    def __init__(self) -> None:
        self.instances: dict[InstanceKey, Instance] = {}
        self.executors: dict[int, Executor] = {}

    def all(self) -> list[Instance]:
        """A copy, so that instances may be removed while it is walked."""
        return list(self.instances.values())

    def remove(self, instance: Instance) -> None:
        self.instances.pop(instance.planned.key, None)

    def of(self, executor: Executor) -> Iterator[Instance]:
        return (i for i in self.instances.values() if i.executor is executor)

    def at(self, executor: int, slot: int) -> Instance | None:
        found = (i for i in self.instances.values() if i.executor and i.executor.number == executor and i.slot == slot)
        return next(found, None)

    def executor_for(self, key: ProcessKey) -> Executor | None:
        """The one that takes new instances of this key."""
        return next((e for e in self.executors.values() if e.key == key and not e.is_stopping), None)

    def unused(self) -> list[Executor]:
        return [e for e in self.executors.values() if not e.is_stopping and not any(self.of(e))]

    def statuses(self) -> tuple[InstanceStatus, ...]:
        return tuple(instance.status() for instance in self.instances.values())
