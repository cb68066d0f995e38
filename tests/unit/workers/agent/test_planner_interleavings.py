"""Whatever order things happen in, the planner keeps its promises."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from idle_backend import IdleBackend
from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.messages import UNLOADING
from shoal.workers.agent.events import (
    Action,
    EntryChanged,
    Event,
    ExecutorExited,
    ExecutorUp,
    Finished,
    InstanceLoaded,
    InstanceLoadFailed,
    InstanceUnloaded,
    LoadInstance,
    Spawn,
    StopRequested,
    Tick,
    UnloadInstance,
    Worn,
)
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.agent.planner import Planner

LOAD_LIMIT = 3


class Shared(IdleBackend):
    """One process for all instances."""


class Alone(IdleBackend):
    """One process for each instance."""

    process_per_instance = True


BACKENDS = {"shared": BackendInfo("shared", "x:Shared", Shared), "alone": BackendInfo("alone", "x:Alone", Alone)}


class Worker(RuleBasedStateMachine):
    """A worker whose processes do whatever processes may do."""

    def __init__(self) -> None:
        super().__init__()
        self.planner = Planner(BACKENDS, LOAD_LIMIT)
        self.now = 0.0
        self.alive: dict[int, bool] = {}
        self.loading: set[tuple[int, int]] = set()
        self.loaded: set[tuple[int, int]] = set()
        self.unloading: set[tuple[int, int]] = set()
        self.desired: dict[str, str] = {}
        self.is_finished = False
        self.is_stopping = False

    def handle(self, event: Event) -> None:
        for action in self.planner.handle(event, self.now):
            self.perform(action)

    def perform(self, action: Action) -> None:
        match action:
            case Spawn(executor, _):
                assert executor not in self.alive, "a number was used twice"
                self.alive[executor] = False
            case LoadInstance(executor, slot, _):
                assert self.alive[executor], "loaded before its hello"
                assert (executor, slot) not in self.loading | self.loaded, "a slot was used twice"
                self.loading.add((executor, slot))
            case UnloadInstance(executor, slot):
                assert self.alive[executor]
                self.unloading.add((executor, slot))
            case Finished():
                self.is_finished = True

    def forget(self, executor: int) -> None:
        for slots in (self.loading, self.loaded, self.unloading):
            slots -= {place for place in slots if place[0] == executor}

    @rule(
        model=st.sampled_from("abc"),
        backend=st.sampled_from(["shared", "alone"]),
        generation=st.sampled_from(["g1", "g2"]),
        count=st.integers(1, 3),
    )
    def desire(self, model: str, backend: str, generation: str, count: int) -> None:
        # A generation is immutable: the same name is always the same content.
        name = f"{generation}-{backend}-{count}"
        config = {"name": model, "instance_group": [{"name": model, "kind": "KIND_CPU", "count": count}]}
        entry = ModelEntry(1, model, name, "/m", backend, {1: VersionEntry(config, {})}, (), "", {})
        self.desired[model] = name
        self.handle(EntryChanged(model, entry))

    @rule(model=st.sampled_from("abc"))
    def remove(self, model: str) -> None:
        self.desired.pop(model, None)
        self.handle(EntryChanged(model, None))

    @precondition(lambda self: not all(self.alive.values()))
    @rule(data=st.data())
    def hello(self, data: st.DataObject) -> None:
        executor = data.draw(st.sampled_from([e for e, up in self.alive.items() if not up]))
        self.alive[executor] = True
        self.handle(ExecutorUp(executor, f"executor-{executor}"))

    @precondition(lambda self: self.loading)
    @rule(data=st.data(), fails=st.booleans())
    def load(self, data: st.DataObject, fails: bool) -> None:
        executor, slot = data.draw(st.sampled_from(sorted(self.loading)))
        self.loading.discard((executor, slot))
        if fails:
            self.unloading.discard((executor, slot))
            self.handle(InstanceLoadFailed(executor, slot, "Internal: no"))
        else:
            self.loaded.add((executor, slot))
            self.handle(InstanceLoaded(executor, slot))

    @precondition(lambda self: self.unloading & self.loaded)
    @rule(data=st.data())
    def unload(self, data: st.DataObject) -> None:
        executor, slot = data.draw(st.sampled_from(sorted(self.unloading & self.loaded)))
        self.unloading.discard((executor, slot))
        self.loaded.discard((executor, slot))
        self.handle(InstanceUnloaded(executor, slot))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), blameless=st.booleans())
    def die(self, data: st.DataObject, blameless: bool) -> None:
        executor = data.draw(st.sampled_from(sorted(self.alive)))
        del self.alive[executor]
        self.forget(executor)
        self.handle(ExecutorExited(executor, "signal 9", "", (), (), () if blameless else None))

    @precondition(lambda self: self.loaded)
    @rule(data=st.data())
    def wear_out(self, data: st.DataObject) -> None:
        executor, slot = data.draw(st.sampled_from(sorted(self.loaded)))
        self.handle(Worn(executor, slot, "old"))

    @rule(seconds=st.sampled_from([0.05, 1.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.handle(Tick())

    @rule()
    def stop(self) -> None:
        if not self.is_stopping:
            self.is_stopping = True
            self.handle(StopRequested())

    @invariant()
    def instances_are_in_living_executors(self) -> None:
        incarnations = {f"executor-{number}" for number in self.alive}
        assert {s.executor for s in self.planner.statuses() if s.executor} <= incarnations

    @invariant()
    def slots_are_not_shared(self) -> None:
        places = [(s.executor, s.slot) for s in self.planner.statuses() if s.executor]
        assert len(places) == len(set(places))

    @invariant()
    def a_name_stands_for_one_instance_that_is_not_unloading(self) -> None:
        names = [(s.model, s.version, s.generation, s.name) for s in self.planner.statuses() if s.state != UNLOADING]
        assert len(names) == len(set(names))

    @invariant()
    def what_is_desired_is_listed(self) -> None:
        listed = {(s.model, s.generation) for s in self.planner.statuses() if s.state != UNLOADING}
        assert self.is_stopping or self.desired.items() <= listed

    @invariant()
    def a_drain_is_finished_exactly_when_nothing_is_left(self) -> None:
        assert self.is_finished == (self.is_stopping and not self.alive)


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
