from __future__ import annotations

from typing import Any

from idle_backend import IdleBackend
from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.messages import LOADING, READY, UNAVAILABLE, UNLOADING
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
from shoal.workers.agent.instances import PlannedInstance, planned_instances
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.agent.planner import HELLO_TIMEOUT_S, UNLOAD_TIMEOUT_S, Planner


class Shared(IdleBackend):
    """One process for all instances."""


class Alone(IdleBackend):
    """One process for each instance."""

    process_per_instance = True


BACKENDS = {"shared": BackendInfo("shared", "x:Shared", Shared), "alone": BackendInfo("alone", "x:Alone", Alone)}


def entry(
    model: str = "m", backend: str = "shared", count: int = 1, generation: str = "g1", reason: str = "", **config: Any
) -> ModelEntry:
    raw = {"name": model, "instance_group": [{"name": model, "kind": "KIND_CPU", "count": count}], **config}
    versions = {} if reason == "completing" or reason else {1: VersionEntry(raw, {})}
    shown = "" if reason == "completing" else reason
    return ModelEntry(1, model, generation, f"/models/{model}", backend, versions, (), shown, {})


def planned(of: ModelEntry) -> list[PlannedInstance]:
    return planned_instances(of, BACKENDS[of.backend])


class Scene:
    """A planner with a clock that the test moves."""

    def __init__(self, load_limit: int = 4) -> None:
        self.planner = Planner(BACKENDS, load_limit)
        self.now = 100.0

    def handle(self, event: Event) -> list[Action]:
        return self.planner.handle(event, self.now)

    def desire(self, of: ModelEntry) -> list[Action]:
        return self.handle(EntryChanged(of.model, of))

    def exit(self, executor: int, executing: tuple[int, ...] = (), **fields: Any) -> list[Action]:
        values: dict[str, Any] = {"cause": "signal 9", "last_output": "", "executed": (), "blameless": False} | fields
        return self.handle(ExecutorExited(executor, executing=executing, **values))

    def states(self) -> list[str]:
        return [status.state for status in self.planner.statuses()]

    def serve(self, of: ModelEntry, executor: int = 1) -> None:
        """Bring all instances of an entry up in one executor."""
        self.desire(of)
        self.handle(ExecutorUp(executor, f"executor-{executor}"))
        for slot in range(len(planned(of))):
            self.handle(InstanceLoaded(executor, slot))

    def crash_loop(self, executor: int) -> list[Action]:
        """The process ends while it starts; go on to its next start."""
        actions = self.exit(executor)
        self.now = max([a.at for a in actions if isinstance(a, WakeAt)], default=self.now)
        return actions + self.handle(Tick())


def test_all_instances_are_listed_before_any_is_loaded() -> None:
    scene = Scene()
    actions = scene.desire(entry(count=2))
    assert actions == [Spawn(1, "shared"), WakeAt(100.0 + HELLO_TIMEOUT_S), Publish()]
    assert [(s.name, s.state, s.executor) for s in scene.planner.statuses()] == [
        ("m_0", LOADING, ""),
        ("m_1", LOADING, ""),
    ]


def test_instances_load_when_their_executor_says_hello() -> None:
    scene = Scene()
    wanted = entry(count=2)
    scene.desire(wanted)
    first, second = planned(wanted)
    actions = scene.handle(ExecutorUp(1, "executor-1"))
    assert actions == [LoadInstance(1, 0, first), LoadInstance(1, 1, second), Publish()]


def test_an_instance_is_ready_when_it_says_so() -> None:
    scene = Scene()
    scene.desire(entry())
    scene.handle(ExecutorUp(1, "executor-1"))
    assert scene.handle(InstanceLoaded(1, 0)) == [Publish()]
    (status,) = scene.planner.statuses()
    assert (status.state, status.executor, status.slot, status.generation) == (READY, "executor-1", 0, "g1")


def test_another_model_of_the_backend_joins_the_executor_that_is_up() -> None:
    scene = Scene()
    scene.serve(entry("one"))
    other = entry("two")
    assert scene.desire(other) == [LoadInstance(1, 1, planned(other)[0]), Publish()]


def test_a_backend_may_want_a_process_for_each_instance() -> None:
    scene = Scene()
    actions = scene.desire(entry(backend="alone", count=2))
    assert [a for a in actions if isinstance(a, Spawn)] == [Spawn(1, "alone"), Spawn(2, "alone")]


def test_no_more_load_at_once_than_the_limit() -> None:
    scene = Scene(load_limit=2)
    actions = scene.desire(entry(backend="alone", count=3))
    assert [a for a in actions if isinstance(a, Spawn)] == [Spawn(1, "alone"), Spawn(2, "alone")]
    scene.handle(ExecutorUp(1, "executor-1"))
    actions = scene.handle(InstanceLoaded(1, 0))
    assert actions == [Spawn(3, "alone"), WakeAt(100.0 + HELLO_TIMEOUT_S), Publish()]


def test_a_backend_that_is_not_here_is_no_concern() -> None:
    scene = Scene()
    other = entry()._replace(backend="elsewhere")
    assert scene.handle(EntryChanged("m", other)) == []
    assert scene.planner.statuses() == ()


def test_a_load_that_failed_is_final_and_frees_the_executor() -> None:
    scene = Scene()
    scene.desire(entry())
    scene.handle(ExecutorUp(1, "executor-1"))
    actions = scene.handle(InstanceLoadFailed(1, 0, "Internal: no such layer"))
    assert actions == [StopExecutor(1), WakeAt(100.0 + UNLOAD_TIMEOUT_S), Publish()]
    (status,) = scene.planner.statuses()
    assert (status.state, status.reason, status.executor) == (UNAVAILABLE, "Internal: no such layer", "")
    assert scene.exit(1) == []


def test_a_group_that_asks_for_a_gpu_is_refused_without_a_process() -> None:
    scene = Scene()
    actions = scene.desire(entry(instance_group=[{"name": "m", "kind": "KIND_GPU", "count": 1}]))
    assert actions == [Publish()]
    (status,) = scene.planner.statuses()
    assert status.state == UNAVAILABLE
    assert status.reason.startswith("Invalid argument: instance group m of model m has kind KIND_GPU")


def test_a_removed_model_is_unloaded_and_its_executor_stopped() -> None:
    scene = Scene()
    scene.serve(entry())
    deadline = WakeAt(100.0 + UNLOAD_TIMEOUT_S)
    assert scene.handle(EntryChanged("m", None)) == [UnloadInstance(1, 0), deadline, Publish()]
    assert scene.states() == [UNLOADING]
    assert scene.handle(InstanceUnloaded(1, 0)) == [StopExecutor(1), deadline, Publish()]
    assert scene.exit(1, cause="exit code 0") == []


def test_a_model_removed_while_it_loads_is_gone_when_its_load_fails() -> None:
    scene = Scene()
    scene.desire(entry())
    scene.handle(ExecutorUp(1, "executor-1"))
    scene.handle(EntryChanged("m", None))
    assert scene.states() == [UNLOADING]
    actions = scene.handle(InstanceLoadFailed(1, 0, "Internal: no"))
    assert actions == [StopExecutor(1), WakeAt(100.0 + UNLOAD_TIMEOUT_S), Publish()]
    assert scene.states() == []


def test_a_model_removed_before_the_hello_leaves_no_process() -> None:
    scene = Scene()
    scene.desire(entry())
    assert scene.handle(EntryChanged("m", None)) == [KillExecutor(1), Publish()]


def test_the_executor_of_other_models_survives_an_unload() -> None:
    scene = Scene()
    scene.serve(entry("one"))
    scene.desire(entry("two"))
    scene.handle(InstanceLoaded(1, 1))
    scene.handle(EntryChanged("two", None))
    assert scene.handle(InstanceUnloaded(1, 1)) == [Publish()]
    assert scene.states() == [READY]


def test_an_unload_that_takes_too_long_ends_a_process_that_nobody_else_uses() -> None:
    scene = Scene()
    scene.serve(entry())
    scene.handle(EntryChanged("m", None))
    scene.now += UNLOAD_TIMEOUT_S
    assert scene.handle(Tick()) == [KillExecutor(1), Publish()]


def test_a_new_generation_loads_beside_the_old_one_which_leaves_when_it_is_ready() -> None:
    scene = Scene()
    scene.serve(entry())
    newer = entry(generation="g2")
    assert scene.desire(newer) == [LoadInstance(1, 1, planned(newer)[0]), Publish()]
    assert [(s.generation, s.state) for s in scene.planner.statuses()] == [("g1", READY), ("g2", LOADING)]
    actions = scene.handle(InstanceLoaded(1, 1))
    assert actions == [UnloadInstance(1, 0), WakeAt(100.0 + UNLOAD_TIMEOUT_S), Publish()]


def test_the_old_generation_stays_when_the_new_one_fails() -> None:
    scene = Scene()
    scene.serve(entry())
    scene.desire(entry(generation="g2"))
    scene.handle(InstanceLoadFailed(1, 1, "Internal: broken"))
    assert [(s.generation, s.state) for s in scene.planner.statuses()] == [("g1", READY), ("g2", UNAVAILABLE)]


def test_what_serves_stays_while_the_next_configuration_is_being_completed() -> None:
    scene = Scene()
    scene.serve(entry())
    assert scene.desire(entry(generation="g2", reason="completing")) == []
    assert scene.states() == [READY]


def test_what_serves_leaves_when_the_model_cannot_be_served_any_more() -> None:
    scene = Scene()
    scene.serve(entry())
    assert UnloadInstance(1, 0) in scene.desire(entry(generation="g2", reason="Invalid argument: no"))


def test_an_executor_that_died_is_started_again_after_a_pause() -> None:
    scene = Scene()
    scene.serve(entry())
    assert scene.exit(1) == [WakeAt(100.1), Publish()]
    (status,) = scene.planner.statuses()
    assert (status.state, status.executor) == (LOADING, "")
    scene.now = 100.05
    assert scene.handle(Tick()) == []
    scene.now = 100.1
    assert scene.handle(Tick()) == [Spawn(2, "shared"), WakeAt(100.1 + HELLO_TIMEOUT_S)]


def test_the_pause_doubles_with_each_death_in_a_row() -> None:
    scene = Scene()
    scene.desire(entry(backend="alone"))
    pauses = []
    for executor in (1, 2, 3, 4):
        before = scene.now
        actions = scene.exit(executor)
        scene.now = next(a.at for a in actions if isinstance(a, WakeAt))
        pauses.append(round(scene.now - before, 6))
        scene.handle(Tick())
    assert pauses == [0.1, 0.2, 0.4, 0.8]


def test_five_crashes_without_an_execution_make_an_instance_unavailable() -> None:
    scene = Scene()
    scene.desire(entry(backend="alone"))
    for executor in (1, 2, 3, 4):
        scene.crash_loop(executor)
        assert scene.states() == [LOADING]
    scene.exit(5, cause="signal 11", last_output="Segmentation fault")
    (status,) = scene.planner.statuses()
    assert status.state == UNAVAILABLE
    assert status.reason == (
        "Internal: the process of instance 'm_0' ended 5 times without a successful execution in between, the last "
        "time with signal 11; its last output was:\nSegmentation fault"
    )
    scene.now += 1000.0
    assert scene.handle(Tick()) == []


def test_an_execution_that_came_back_forgives_crashes_and_pauses() -> None:
    scene = Scene()
    scene.desire(entry(backend="alone"))
    for executor in (1, 2, 3, 4):
        scene.crash_loop(executor)
    scene.handle(ExecutorUp(5, "executor-5"))
    scene.handle(InstanceLoaded(5, 0))
    scene.handle(Executed(5, (0,)))
    actions = scene.exit(5, executing=(0,))
    assert actions == [WakeAt(scene.now + 0.1), Publish()]
    assert scene.states() == [LOADING]


def test_an_execution_reported_with_the_death_counts_before_it() -> None:
    scene = Scene()
    scene.desire(entry(backend="alone"))
    for executor in (1, 2, 3, 4):
        scene.crash_loop(executor)
    scene.handle(ExecutorUp(5, "executor-5"))
    scene.handle(InstanceLoaded(5, 0))
    scene.exit(5, executing=(0,), executed=(0,))
    assert scene.states() == [LOADING]


def test_nobody_is_blamed_for_a_broker_that_is_away() -> None:
    scene = Scene()
    scene.desire(entry(backend="alone"))
    for executor in range(1, 20):
        actions = scene.exit(executor, blameless=True)
        scene.now = next(a.at for a in actions if isinstance(a, WakeAt))
        scene.handle(Tick())
    assert scene.states() == [LOADING]


def test_two_crashes_while_executing_put_an_instance_into_a_process_of_its_own() -> None:
    scene = Scene()
    scene.serve(entry("good"))
    scene.desire(entry("bad"))
    scene.handle(InstanceLoaded(1, 1))
    for executor in (1, 2):
        actions = scene.exit(executor, executing=(1,))
        scene.now = max(a.at for a in actions if isinstance(a, WakeAt))
        started = scene.handle(Tick())
        scene.handle(ExecutorUp(executor + 1, f"executor-{executor + 1}"))
        scene.handle(InstanceLoaded(executor + 1, 0))
        scene.handle(InstanceLoaded(executor + 1, 1))
    assert [a for a in started if isinstance(a, Spawn)] == [Spawn(3, "shared"), Spawn(4, "shared")]


def test_who_was_in_a_crash_loads_alone() -> None:
    scene = Scene()
    wanted = entry(count=2)
    scene.desire(wanted)
    scene.handle(ExecutorUp(1, "executor-1"))
    scene.crash_loop(1)
    first, second = planned(wanted)
    assert LoadInstance(2, 0, first) in scene.handle(ExecutorUp(2, "executor-2"))
    assert scene.handle(InstanceLoaded(2, 0)) == [LoadInstance(2, 1, second), Publish()]


def test_an_executor_that_never_says_hello_is_killed() -> None:
    scene = Scene()
    scene.desire(entry())
    scene.now += HELLO_TIMEOUT_S
    assert scene.handle(Tick()) == [KillExecutor(1)]


def test_a_drain_stops_every_executor_and_finishes_with_the_last() -> None:
    scene = Scene()
    scene.serve(entry(backend="alone"))
    scene.desire(entry("late", backend="alone"))
    actions = scene.handle(StopRequested())
    assert actions == [StopExecutor(1), WakeAt(100.0 + UNLOAD_TIMEOUT_S), KillExecutor(2), Publish()]
    assert scene.states() == [UNLOADING, UNLOADING]
    assert scene.exit(2) == [Publish()]
    assert scene.handle(InstanceUnloaded(1, 0)) == [Publish()]
    assert scene.exit(1, cause="exit code 0") == [Finished()]


def test_a_drain_without_executors_is_finished_at_once() -> None:
    assert Scene().handle(StopRequested()) == [Finished()]


def test_an_executor_that_does_not_stop_in_time_is_killed() -> None:
    scene = Scene()
    scene.serve(entry())
    scene.handle(StopRequested())
    scene.now += UNLOAD_TIMEOUT_S
    assert KillExecutor(1) in scene.handle(Tick())


def test_nothing_is_started_while_draining() -> None:
    scene = Scene()
    scene.serve(entry())
    scene.handle(StopRequested())
    assert scene.desire(entry("new")) == []


def test_silence_is_excused_while_something_is_loaded() -> None:
    scene = Scene()
    scene.desire(entry())
    scene.handle(ExecutorUp(1, "executor-1"))
    assert scene.planner.may_be_silent(1)
    scene.handle(InstanceLoaded(1, 0))
    assert not scene.planner.may_be_silent(1)
