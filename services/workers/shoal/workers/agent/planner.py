"""What an agent decides: a pure state machine over its executors and instances.

`handle(event, now)` takes what happened and the time (seconds of any monotonic clock) and returns what to do, in order.
It never waits: a `WakeAt` asks for a `Tick` at that time.

All instances of a backend share one executor, unless the backend wants a process for each or the instance has been in
two crashes (quarantine). A generation is loaded beside the one before, which is unloaded when the new one is ready
here; if the new one fails, the old one stays. What starts when is decided in `starting`, what follows from a death in
`crashes`, how an instance is replaced by a fresh one in `recycling`.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal.core.desired import ModelEntry
from shoal.core.messages import InstanceStatus
from shoal.workers.agent.crashes import Restarts, blame, pardon, retry
from shoal.workers.agent.events import (
    Action,
    EntryChanged,
    Event,
    Executed,
    ExecutorExited,
    ExecutorUp,
    Finished,
    InstanceLoaded,
    InstanceLoadFailed,
    InstanceUnloaded,
    KillExecutor,
    LoadInstance,
    Publish,
    StopExecutor,
    StopRequested,
    Tick,
    UnloadInstance,
    WakeAt,
    Worn,
)
from shoal.workers.agent.fleet import Executor, Fleet, Instance, Phase
from shoal.workers.agent.instances import InstanceKey, PlannedInstance, planned_instances
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.agent.recycling import Recycling
from shoal.workers.agent.starting import LOAD_LIMIT, Starts

#: From the request to unload, or to stop, until the process is killed.
UNLOAD_TIMEOUT_S = 30.0


class Planner:
    """Decides for one agent. `handle` is the only door of change."""

    def __init__(self, backends: Mapping[str, BackendInfo], load_limit: int = LOAD_LIMIT) -> None:
        self._backends = backends
        self._entries: dict[str, ModelEntry] = {}
        self._fleet = Fleet()
        self._restarts = Restarts()
        self._starts = Starts(self._fleet, self._restarts, load_limit)
        self._recycling = Recycling(self._fleet)
        self._is_draining = False

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Every instance of the desired generations from the moment they are desired, and those still loaded."""
        return self._fleet.statuses()

    def excused(self) -> frozenset[int]:
        """The executors that user code may keep from answering: those that start, or load or unload something."""
        excused = {e.number for e in self._fleet.executors.values() if e.is_stopping or not e.incarnation}
        unsettled = (i for i in self._fleet.all() if i.executor and i.phase is not Phase.READY)
        return frozenset(excused.union(i.executor.number for i in unsettled if i.executor))

    def handle(self, event: Event, now: float) -> list[Action]:
        before = self.statuses()
        actions = self._dispatch(event, now)
        actions += self._advance(now)
        if self.statuses() != before:
            actions.append(Publish())
        return actions

    def _dispatch(self, event: Event, now: float) -> list[Action]:
        actions: list[Action] = []
        match event:
            case EntryChanged(model, entry):
                self._entry_changed(model, entry)
            case ExecutorUp(executor, incarnation):
                actions = self._executor_up(executor, incarnation)
            case InstanceLoaded(executor, slot):
                actions = self._loaded(executor, slot, now)
            case InstanceLoadFailed(executor, slot, reason):
                actions = self._load_failed(executor, slot, reason, now)
            case InstanceUnloaded(executor, slot):
                self._unloaded(executor, slot)
            case Executed(executor, slots):
                self._executed(executor, slots)
            case Worn():
                actions = self._recycling.worn(event, now)
            case ExecutorExited():
                actions = self._exited(event, now)
            case Tick():
                actions = self._expire(now)
            case StopRequested():
                actions = self._drain(now)
        return actions

    def _entry_changed(self, model: str, entry: ModelEntry | None) -> None:
        if entry is None or self._is_draining:
            self._entries.pop(model, None)
            return
        self._entries[model] = entry
        for planned in self._planned(entry):
            instance = self._fleet.instances.setdefault(planned.key, Instance(planned))
            if instance.phase is Phase.FAILED and not planned.reason:
                # Somebody wants it again: it has as many tries as at first.
                instance.leave(Phase.WAITING)
                instance.reason = ""
                pardon(instance)

    def _planned(self, entry: ModelEntry) -> list[PlannedInstance]:
        info = self._backends.get(entry.backend)
        return [] if info is None else planned_instances(entry, info)

    def _executor_up(self, number: int, incarnation: str) -> list[Action]:
        executor = self._fleet.executors.get(number)
        if executor is None or executor.is_stopping:
            return []
        executor.incarnation, executor.kill_at = incarnation, None
        return [LoadInstance(number, i.slot, i.planned) for i in self._fleet.of(executor)]

    def _loaded(self, executor: int, slot: int, now: float) -> list[Action]:
        instance = self._fleet.at(executor, slot)
        if instance is None or instance.phase is not Phase.LOADING:
            return []
        instance.phase, instance.reason = Phase.READY, ""
        return self._recycling.loaded(instance, now) if self._fleet.is_fresh(instance) else []

    def _load_failed(self, executor: int, slot: int, reason: str, now: float) -> list[Action]:
        instance = self._fleet.at(executor, slot)
        if instance is None:
            return []
        if self._fleet.is_fresh(instance):
            return self._recycling.failed(instance, reason, now)
        if instance.phase is Phase.LOADING:
            instance.fail(reason)
        elif instance.phase is Phase.UNLOADING:
            # It was to be unloaded as soon as it was loaded; there is nothing to unload.
            self._fleet.remove(instance)
        return []

    def _unloaded(self, executor: int, slot: int) -> None:
        instance = self._fleet.at(executor, slot)
        if instance is not None and instance.phase is Phase.UNLOADING:
            self._fleet.remove(instance)

    def _executed(self, executor: int, slots: tuple[int, ...]) -> None:
        for instance in filter(None, (self._fleet.at(executor, slot) for slot in slots)):
            pardon(instance)
            self._restarts.forget(instance.process_key)

    def _exited(self, event: ExecutorExited, now: float) -> list[Action]:
        self._executed(event.executor, event.executed)
        executor = self._fleet.executors.pop(event.executor, None)
        if executor is None:
            return []
        actions: list[Action] = []
        for instance in list(self._fleet.of(executor)):
            if executor.is_stopping or instance.phase is Phase.UNLOADING:
                self._fleet.remove(instance)
            elif self._fleet.is_fresh(instance):
                actions += self._recycling.failed(instance, f"its process ended: {event.cause}", now)
        if executor.is_stopping:
            return actions
        survivors = list(self._fleet.of(executor))
        actions.append(WakeAt(self._restarts.delay(executor.key, now)))
        actions += blame(survivors, event, self._restarts, now)
        for instance in survivors:
            self._recycling.old_died(instance)
        return actions

    def _expire(self, now: float) -> list[Action]:
        """Kill what has not said hello, not unloaded or not stopped in time, and do what is due otherwise."""
        actions: list[Action] = []
        for executor in self._fleet.executors.values():
            if executor.kill_at is not None and now >= executor.kill_at:
                executor.kill_at = None
                actions.append(KillExecutor(executor.number))
        for instance in self._fleet.all():
            if instance.phase is Phase.UNLOADING and instance.executor and now >= instance.unload_by:
                actions += self._abandon(instance, instance.executor)
            elif instance.phase is Phase.FAILED and now >= instance.retry_at:
                retry(instance)
        return actions + self._recycling.unload_due(now)

    def _abandon(self, instance: Instance, executor: Executor) -> list[Action]:
        """Wait no longer for an unload. The process is killed when nothing else lives in it."""
        self._fleet.remove(instance)
        if executor.is_stopping or any(self._fleet.of(executor)):
            return []
        executor.is_stopping = True
        return [KillExecutor(executor.number)]

    def _drain(self, now: float) -> list[Action]:
        self._is_draining = True
        self._entries.clear()
        for instance in self._fleet.all():
            if instance.phase in (Phase.LOADING, Phase.READY):
                self._fleet.retire(instance, now + UNLOAD_TIMEOUT_S)
            elif instance.phase is not Phase.UNLOADING:
                self._fleet.remove(instance)
        running = [e for e in self._fleet.executors.values() if not e.is_stopping]
        return [action for executor in running for action in self._stop(executor, now)]

    def _stop(self, executor: Executor, now: float) -> list[Action]:
        executor.is_stopping = True
        if not executor.incarnation:
            executor.kill_at = None
            return [KillExecutor(executor.number)]
        executor.kill_at = now + UNLOAD_TIMEOUT_S
        return [StopExecutor(executor.number), WakeAt(executor.kill_at)]

    def _advance(self, now: float) -> list[Action]:
        """Bring what is closer to what is desired, as far as is possible now."""
        if self._is_draining:
            return [] if self._fleet.executors else [Finished()]
        actions = self._retire(now) + self._starts.begin(now)
        for executor in self._fleet.unused():
            actions += self._stop(executor, now)
        return actions

    def _retire(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for instance in self._fleet.all():
            if instance.phase is Phase.UNLOADING or self._is_needed(instance.planned.key):
                continue
            if instance.executor is None or not instance.executor.incarnation:
                self._fleet.remove(instance)
            else:
                self._fleet.retire(instance, now + UNLOAD_TIMEOUT_S)
                actions += [UnloadInstance(instance.executor.number, instance.slot), WakeAt(instance.unload_by)]
        return actions

    def _is_needed(self, key: InstanceKey) -> bool:
        entry = self._entries.get(key.model)
        if entry is None:
            return False
        if key.generation == entry.generation:
            return key.version in entry.versions
        if not entry.versions:
            # Still being completed: until then what serves goes on serving. With a reason, nothing of it shall.
            return not entry.reason
        newer = [
            i for k, i in self._fleet.instances.items() if k.model == key.model and k.generation == entry.generation
        ]
        return any(i.phase is not Phase.READY for i in newer)
