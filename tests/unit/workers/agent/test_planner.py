from __future__ import annotations

from planner_scene import Scene, entry, planned
from shoal.core.messages import LOADING, READY, UNAVAILABLE, UNLOADING
from shoal.workers.agent.events import (
    EntryChanged,
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
from shoal.workers.agent.planner import UNLOAD_TIMEOUT_S
from shoal.workers.agent.starting import HELLO_TIMEOUT_S, SLOW_LOAD_S


def test_all_instances_are_listed_before_any_is_loaded() -> None:
    scene = Scene()
    actions = scene.desire(entry(count=2))
    slow = WakeAt(100.0 + SLOW_LOAD_S)
    assert actions == [Spawn(1, "shared"), WakeAt(100.0 + HELLO_TIMEOUT_S), slow, slow, Publish()]
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
    assert scene.desire(other) == [LoadInstance(1, 1, planned(other)[0]), WakeAt(100.0 + SLOW_LOAD_S), Publish()]


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
    assert Spawn(3, "alone") in actions


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
    assert LoadInstance(1, 1, planned(newer)[0]) in scene.desire(newer)
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
    assert scene.planner.excused() == {1}
    scene.handle(InstanceLoaded(1, 0))
    assert scene.planner.excused() == frozenset()


def test_a_model_that_is_wanted_again_while_it_unloads_is_loaded_again() -> None:
    scene = Scene()
    scene.serve(entry())
    scene.handle(EntryChanged("m", None))
    again = entry()
    assert LoadInstance(1, 1, planned(again)[0]) in scene.desire(again)
    assert scene.states() == [LOADING, UNLOADING]
    scene.handle(InstanceUnloaded(1, 0))
    scene.handle(InstanceLoaded(1, 1))
    assert scene.states() == [READY]


def test_a_model_that_failed_to_load_is_tried_again_when_its_entry_is_written_again() -> None:
    scene = Scene()
    scene.desire(entry())
    scene.handle(ExecutorUp(1, "executor-1"))
    scene.handle(InstanceLoadFailed(1, 0, "Internal: no such layer"))
    scene.exit(1, cause="exit code 0")
    assert Spawn(2, "shared") in scene.desire(entry())
    assert [(s.state, s.reason) for s in scene.planner.statuses()] == [(LOADING, "")]


def test_a_group_that_was_refused_stays_so_when_its_entry_is_written_again() -> None:
    scene = Scene()
    refused = entry(instance_group=[{"name": "m", "kind": "KIND_GPU", "count": 1}])
    scene.desire(refused)
    scene.desire(refused)
    assert scene.states() == [UNAVAILABLE]
