"""What an agent decides: a pure state machine over its executors and instances.

`handle(event, now)` takes what happened and the time (seconds of any monotonic clock) and returns what to do, in order.
It never waits: a `WakeAt` asks for a `Tick` at that time.

All instances of a backend share one executor, unless the backend wants a process for each or the instance has been in
two crashes (quarantine). A generation is loaded beside the one before, which is unloaded when the new one is ready
here; if the new one fails, the old one stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal.core.desired import ModelEntry
from shoal.core.messages import InstanceStatus
from shoal.workers.agent.crashes import GIVE_UP_AFTER, QUARANTINE_AFTER, Restarts, given_up_reason
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
    Spawn,
    StopExecutor,
    StopRequested,
    Tick,
    UnloadInstance,
    WakeAt,
)
from shoal.workers.agent.fleet import Executor, Fleet, Instance, Phase
from shoal.workers.agent.instances import InstanceKey, planned_instances
from shoal.workers.agent.inventory import BackendInfo

#: Executor processes that start, and instances that load, at the same time.
LOAD_LIMIT = 4
#: From spawn to hello; generous, since it covers the wait for a broker that is away. Loading itself has no limit:
#: large models take as long as they take, and the process is watched meanwhile.
HELLO_TIMEOUT_S = 60.0
#: From the request to unload, or to stop, until the process is killed.
UNLOAD_TIMEOUT_S = 30.0


class Planner:
    """Decides for one agent. `handle` is the only door of change."""

    def __init__(self, backends: Mapping[str, BackendInfo], load_limit: int = LOAD_LIMIT) -> None:
        self._backends = backends
        self._load_limit = load_limit
        self._entries: dict[str, ModelEntry] = {}
        self._fleet = Fleet()
        self._restarts = Restarts()
        self._spawned = 0
        self._is_draining = False

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Every instance of the desired generations from the moment they are desired, and those still loaded."""
        return self._fleet.statuses()

    def may_be_silent(self, executor: int) -> bool:
        """Whether user code may keep this executor from answering: it starts, or loads or unloads something."""
        found = self._fleet.executors.get(executor)
        if found is None or found.is_stopping or not found.incarnation:
            return True
        return any(i.phase is not Phase.READY for i in self._fleet.of(found))

    def handle(self, event: Event, now: float) -> list[Action]:
        before = self.statuses()
        actions = self._dispatch(event, now)
        actions += self._advance(now)
        if self.statuses() != before:
            actions.append(Publish())
        return actions

    def _dispatch(self, event: Event, now: float) -> list[Action]:
        match event:
            case EntryChanged(model, entry):
                self._entry_changed(model, entry)
            case ExecutorUp(executor, incarnation):
                return self._executor_up(executor, incarnation)
            case InstanceLoaded(executor, slot):
                self._loaded(executor, slot)
            case InstanceLoadFailed(executor, slot, reason):
                self._load_failed(executor, slot, reason)
            case InstanceUnloaded(executor, slot):
                self._unloaded(executor, slot)
            case Executed(executor, slots):
                self._executed(executor, slots)
            case ExecutorExited():
                return self._exited(event, now)
            case Tick():
                return self._expire(now)
            case StopRequested():
                return self._drain(now)
        return []

    def _entry_changed(self, model: str, entry: ModelEntry | None) -> None:
        if entry is None or self._is_draining:
            self._entries.pop(model, None)
            return
        self._entries[model] = entry
        info = self._backends.get(entry.backend)
        if info is not None:
            for planned in planned_instances(entry, info):
                self._fleet.instances.setdefault(planned.key, Instance(planned))

    def _executor_up(self, number: int, incarnation: str) -> list[Action]:
        executor = self._fleet.executors.get(number)
        if executor is None or executor.is_stopping:
            return []
        executor.incarnation, executor.kill_at = incarnation, None
        return [LoadInstance(number, i.slot, i.planned) for i in self._fleet.of(executor)]

    def _loaded(self, executor: int, slot: int) -> None:
        instance = self._fleet.at(executor, slot)
        if instance is not None and instance.phase is Phase.LOADING:
            instance.phase = Phase.READY

    def _load_failed(self, executor: int, slot: int, reason: str) -> None:
        instance = self._fleet.at(executor, slot)
        if instance is not None and instance.phase is Phase.LOADING:
            instance.leave(Phase.FAILED, reason)
        elif instance is not None and instance.phase is Phase.UNLOADING:
            # It was to be unloaded as soon as it was loaded; there is nothing to unload.
            self._fleet.remove(instance)

    def _unloaded(self, executor: int, slot: int) -> None:
        instance = self._fleet.at(executor, slot)
        if instance is not None and instance.phase is Phase.UNLOADING:
            self._fleet.remove(instance)

    def _executed(self, executor: int, slots: tuple[int, ...]) -> None:
        for instance in filter(None, (self._fleet.at(executor, slot) for slot in slots)):
            instance.crashes = 0
            self._restarts.forget(instance.process_key)

    def _exited(self, event: ExecutorExited, now: float) -> list[Action]:
        self._executed(event.executor, event.executed)
        executor = self._fleet.executors.pop(event.executor, None)
        if executor is None:
            return []
        members = list(self._fleet.of(executor))
        for instance in members:
            if executor.is_stopping or instance.phase is Phase.UNLOADING:
                self._fleet.remove(instance)
        if executor.is_stopping:
            return []
        survivors = [i for i in members if i.phase is not Phase.UNLOADING]
        blamed = [] if event.blameless else _blamed(survivors, event.executing)
        for instance in survivors:
            instance.leave(Phase.WAITING)
        actions: list[Action] = [WakeAt(self._restarts.delay(executor.key, now))]
        for instance in blamed:
            actions += self._blame(instance, event, now)
        return actions

    def _blame(self, instance: Instance, event: ExecutorExited, now: float) -> list[Action]:
        instance.crashes += 1
        if instance.crashes >= GIVE_UP_AFTER:
            name = instance.planned.key.name
            instance.leave(Phase.FAILED, given_up_reason(name, event.cause, event.last_output))
        elif instance.crashes >= QUARANTINE_AFTER and not (instance.planned.own_process or instance.is_quarantined):
            instance.is_quarantined = True
            return [WakeAt(self._restarts.delay(instance.process_key, now))]
        return []

    def _expire(self, now: float) -> list[Action]:
        """Kill what has not said hello, not unloaded or not stopped in time."""
        actions: list[Action] = []
        for executor in self._fleet.executors.values():
            if executor.kill_at is not None and now >= executor.kill_at:
                executor.kill_at = None
                actions.append(KillExecutor(executor.number))
        for instance in self._fleet.all():
            if instance.phase is Phase.UNLOADING and instance.executor and now >= instance.unload_by:
                actions += self._abandon(instance, instance.executor)
        return actions

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
                instance.phase, instance.unload_by = Phase.UNLOADING, now + UNLOAD_TIMEOUT_S
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
        actions = self._retire(now) + self._start(now)
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
                instance.phase, instance.unload_by = Phase.UNLOADING, now + UNLOAD_TIMEOUT_S
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

    def _start(self, now: float) -> list[Action]:
        actions: list[Action] = []
        loading = sum(i.phase is Phase.LOADING for i in self._fleet.instances.values())
        for instance in self._fleet.instances.values():
            if loading >= self._load_limit:
                break
            if instance.phase is Phase.WAITING and self._may_start(instance, now):
                actions += self._assign(instance, now)
                loading += 1
        return actions

    def _may_start(self, instance: Instance, now: float) -> bool:
        executor = self._fleet.executor_for(instance.process_key)
        if executor is None:
            return now >= self._restarts.not_before(instance.process_key)
        # Whoever was in a crash loads alone, so that the next crash names the culprit.
        others = [i for i in self._fleet.of(executor) if i.phase is Phase.LOADING]
        return not others or (instance.crashes == 0 and all(i.crashes == 0 for i in others))

    def _assign(self, instance: Instance, now: float) -> list[Action]:
        actions: list[Action] = []
        executor = self._fleet.executor_for(instance.process_key)
        if executor is None:
            self._spawned += 1
            executor = Executor(self._spawned, instance.process_key, now + HELLO_TIMEOUT_S)
            self._fleet.executors[executor.number] = executor
            actions += [Spawn(executor.number, instance.planned.entry.backend), WakeAt(now + HELLO_TIMEOUT_S)]
        instance.phase, instance.executor, instance.slot = Phase.LOADING, executor, executor.next_slot
        executor.next_slot += 1
        if executor.incarnation:
            actions.append(LoadInstance(executor.number, instance.slot, instance.planned))
        return actions


def _blamed(instances: list[Instance], executing: tuple[int, ...]) -> list[Instance]:
    """Those that were loading or executing; when nobody was, everyone."""
    active = [i for i in instances if i.phase is Phase.LOADING or i.slot in executing]
    return active or instances
