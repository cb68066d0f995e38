from __future__ import annotations

from planner_scene import Scene, entry
from shoal.workers.agent.events import ExecutorUp, InstanceLoaded, LoadInstance, Spawn
from shoal.workers.agent.starting import SLOW_LOAD_S


def numbers(actions: list[object]) -> list[int]:
    return [action.executor for action in actions if isinstance(action, Spawn)]


def hanging(count: int, limit: int) -> Scene:
    """`count` processes that said hello and whose loads do not end."""
    scene = Scene(load_limit=limit)
    for number in range(1, count + 1):
        scene.desire(entry(f"slow{number}", backend="alone"))
        scene.handle(ExecutorUp(number, f"executor-{number}"))
    return scene


def test_loads_that_take_long_keep_nobody_waiting_for_ever() -> None:
    scene = hanging(2, limit=2)
    assert numbers([*scene.desire(entry("next", backend="alone"))]) == []
    assert numbers([*scene.advance_to(100.0 + SLOW_LOAD_S - 0.001)]) == []
    assert numbers([*scene.advance_to(100.0 + SLOW_LOAD_S)]) == [3]


def test_a_load_that_takes_long_is_not_given_up() -> None:
    scene = hanging(1, limit=1)
    scene.advance_to(scene.now + 100 * SLOW_LOAD_S)
    scene.handle(InstanceLoaded(1, 0))
    assert scene.states() == ["READY"]


def test_slow_loads_of_a_shared_process_do_not_block_who_was_in_a_crash() -> None:
    scene = Scene()
    scene.desire(entry("hangs"))
    scene.desire(entry("other"))
    scene.handle(ExecutorUp(1, "executor-1"))
    scene.exit(1, executing=())
    scene.advance_to(scene.now + 10.0)
    scene.handle(ExecutorUp(2, "executor-2"))
    actions = scene.advance_to(scene.now + SLOW_LOAD_S)
    assert [a.instance.key.model for a in actions if isinstance(a, LoadInstance)] == ["other"]
