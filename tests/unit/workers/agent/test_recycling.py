from __future__ import annotations

from planner_scene import Scene, entry
from shoal.core.desired import ModelEntry
from shoal.core.messages import READY, UNAVAILABLE, UNLOADING
from shoal.core.readiness import VersionState, version_states
from shoal.workers.agent.crashes import DELAY_LIMIT_S, GIVE_UP_AFTER
from shoal.workers.agent.events import (
    Action,
    EntryChanged,
    ExecutorUp,
    Finished,
    InstanceLoaded,
    InstanceLoadFailed,
    InstanceUnloaded,
    RecyclingBegan,
    RecyclingFailed,
    Spawn,
    StopExecutor,
    StopRequested,
    UnloadInstance,
    Worn,
)
from shoal.workers.agent.recycling import FIRST_PAUSE_S, NOTICE_S, SERVE_AT_LEAST_S, UNLOAD_TIMEOUT_S

MODEL = entry(backend="alone")


def serving(of: ModelEntry = MODEL) -> Scene:
    """A model whose instances are ready, in executors 1, 2, ..."""
    scene = Scene()
    scene.desire(of)
    scene.settle()
    return scene


def recycled() -> Scene:
    """The fresh instance, in executor 2, has just become ready."""
    scene = serving()
    scene.handle(Worn(1, 0, "100 executions"))
    scene.settle()
    return scene


def rows(scene: Scene) -> list[tuple[str, str, str]]:
    return [(status.name, status.executor, status.state) for status in scene.planner.statuses()]


def spawned(actions: list[Action]) -> list[int]:
    return [action.executor for action in actions if isinstance(action, Spawn)]


def version_state(scene: Scene) -> VersionState:
    return version_states(MODEL, {"agent": scene.planner.statuses()}, lambda _: None)[1]


def test_a_fresh_instance_loads_beside_the_old_one_and_is_not_listed() -> None:
    scene = serving()
    before = rows(scene)
    actions = scene.handle(Worn(1, 0, "100 executions"))
    (key,) = (action.instance for action in actions if isinstance(action, RecyclingBegan))
    assert (key.name, spawned(actions)) == ("m_0", [2])
    scene.handle(ExecutorUp(2, "executor-2"))
    assert rows(scene) == before
    assert version_state(scene).state == READY


def test_a_ready_fresh_instance_takes_the_place_of_the_old_one_in_one_heartbeat() -> None:
    scene = recycled()
    assert rows(scene) == [("m_0", "executor-2", READY), ("m_0", "executor-1", UNLOADING)]
    assert version_state(scene).state == READY


def test_the_old_instance_unloads_when_everybody_has_heard_of_its_retirement() -> None:
    scene = recycled()
    assert not [a for a in scene.advance_to(scene.now + NOTICE_S - 0.001) if isinstance(a, UnloadInstance)]
    assert UnloadInstance(1, 0) in scene.advance_to(scene.now + 0.001)
    assert not [a for a in scene.advance_to(scene.now + 1.0) if isinstance(a, UnloadInstance)]
    assert StopExecutor(1) in scene.handle(InstanceUnloaded(1, 0))
    assert rows(scene) == [("m_0", "executor-2", READY)]


def test_a_long_execution_of_the_old_instance_is_waited_for() -> None:
    scene = recycled()
    scene.advance_to(scene.now + NOTICE_S)
    scene.advance_to(scene.now + UNLOAD_TIMEOUT_S - 0.001)
    assert rows(scene)[1:] == [("m_0", "executor-1", UNLOADING)]
    scene.advance_to(scene.now + 0.001)
    assert rows(scene) == [("m_0", "executor-2", READY)]


def test_one_instance_of_a_model_is_recycled_at_a_time() -> None:
    scene = serving(entry(backend="alone", count=2))
    scene.handle(Worn(1, 0, "old"))
    assert spawned(scene.handle(Worn(2, 0, "old"))) == []
    scene.settle()
    assert spawned(scene.handle(Worn(2, 0, "old"))) == []
    scene.advance_to(scene.now + NOTICE_S)
    scene.handle(InstanceUnloaded(1, 0))
    assert spawned(scene.handle(Worn(2, 0, "old"))) == [4]


def test_instances_of_other_models_are_recycled_meanwhile() -> None:
    scene = serving()
    scene.desire(entry("other", backend="alone"))
    scene.settle()
    assert spawned(scene.handle(Worn(1, 0, "old"))) == [3]
    assert spawned(scene.handle(Worn(2, 0, "old"))) == [4]


def test_being_told_again_changes_nothing() -> None:
    scene = serving()
    scene.handle(Worn(1, 0, "old"))
    assert scene.handle(Worn(1, 0, "old")) == []


def test_an_instance_serves_for_a_while_before_it_is_recycled() -> None:
    scene = recycled()
    scene.advance_to(scene.now + NOTICE_S)
    scene.handle(InstanceUnloaded(1, 0))
    assert spawned(scene.handle(Worn(2, 0, "too big already"))) == []
    scene.now += SERVE_AT_LEAST_S - NOTICE_S
    assert spawned(scene.handle(Worn(2, 0, "too big already"))) == [3]


def test_the_old_instance_serves_on_when_the_fresh_one_cannot_be_loaded() -> None:
    scene = serving()
    before = rows(scene)
    scene.handle(Worn(1, 0, "old"))
    scene.handle(ExecutorUp(2, "executor-2"))
    actions = scene.handle(InstanceLoadFailed(2, 0, "Internal: no memory"))
    assert [a.reason for a in actions if isinstance(a, RecyclingFailed)] == ["Internal: no memory"]
    assert StopExecutor(2) in actions
    assert rows(scene) == before


def test_failed_attempts_are_repeated_after_a_pause_that_doubles() -> None:
    scene = serving()
    for executor, pause_s in ((2, FIRST_PAUSE_S), (3, 2 * FIRST_PAUSE_S)):
        assert spawned(scene.handle(Worn(1, 0, "old"))) == [executor]
        scene.handle(ExecutorUp(executor, f"executor-{executor}"))
        scene.handle(InstanceLoadFailed(executor, 0, "Internal: no memory"))
        scene.now += pause_s - 0.001
        assert spawned(scene.handle(Worn(1, 0, "old"))) == []
        scene.now += 0.001


def test_a_fresh_process_that_ends_while_it_loads_is_no_crash_of_the_old_instance() -> None:
    scene = serving()
    for executor in range(2, 2 + GIVE_UP_AFTER):
        assert spawned(scene.handle(Worn(1, 0, "old"))) == [executor]
        actions = scene.exit(executor)
        assert [a.reason for a in actions if isinstance(a, RecyclingFailed)] == ["its process ended: signal 9"]
        scene.now += 1000.0
    assert rows(scene) == [("m_0", "executor-1", READY)]


def test_the_fresh_instance_takes_over_when_the_old_one_dies_meanwhile() -> None:
    scene = serving()
    scene.handle(Worn(1, 0, "old"))
    scene.starting.clear()
    assert spawned(scene.exit(1)) == []
    scene.handle(ExecutorUp(2, "executor-2"))
    scene.handle(InstanceLoaded(2, 0))
    assert rows(scene) == [("m_0", "executor-2", READY)]


def test_an_instance_that_is_given_up_takes_its_fresh_one_with_it() -> None:
    scene = serving()
    for _ in range(GIVE_UP_AFTER - 1):
        scene.crash()
    executor = scene.place()[0]
    scene.handle(Worn(executor, 0, "old"))
    scene.exit(executor, executing=(0,))
    assert scene.states() == [UNAVAILABLE]
    scene.advance_to(scene.now + DELAY_LIMIT_S)
    assert scene.states() == [UNAVAILABLE]


def test_a_removed_model_is_not_recycled_any_further() -> None:
    scene = serving()
    scene.handle(Worn(1, 0, "old"))
    scene.starting.clear()
    scene.handle(ExecutorUp(2, "executor-2"))
    actions = scene.handle(EntryChanged("m", None))
    assert {action for action in actions if isinstance(action, UnloadInstance)} == {
        UnloadInstance(1, 0),
        UnloadInstance(2, 0),
    }
    scene.handle(InstanceUnloaded(1, 0))
    scene.handle(InstanceLoadFailed(2, 0, "Internal: no"))
    assert rows(scene) == []


def test_a_drain_ends_the_fresh_process_too() -> None:
    scene = serving()
    scene.handle(Worn(1, 0, "old"))
    scene.handle(ExecutorUp(2, "executor-2"))
    actions = scene.handle(StopRequested())
    assert {StopExecutor(1), StopExecutor(2)} <= set(actions)
    scene.exit(1, cause="exit code 0")
    assert Finished() in scene.exit(2, cause="exit code 0")
    assert rows(scene) == []


def test_nothing_is_recycled_while_draining() -> None:
    scene = serving()
    scene.handle(StopRequested())
    assert scene.handle(Worn(1, 0, "old")) == []


def test_an_instance_that_shares_its_process_is_not_recycled() -> None:
    scene = Scene()
    scene.serve(entry())
    assert scene.handle(Worn(1, 0, "old")) == []
