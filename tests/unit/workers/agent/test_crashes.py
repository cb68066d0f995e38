from __future__ import annotations

from planner_scene import Scene, entry, planned
from shoal.core.messages import LOADING, READY, UNAVAILABLE
from shoal.workers.agent.crashes import (
    DELAY_LIMIT_S,
    FIRST_RETRY_S,
    GIVE_UP_AFTER,
    RETRY_LIMIT_S,
    Restarts,
    doubled,
    given_up_reason,
)
from shoal.workers.agent.events import (
    Action,
    Executed,
    ExecutorUp,
    InstanceLoaded,
    LoadInstance,
    Publish,
    Spawn,
    Tick,
    WakeAt,
)

KEY = ("python", None)


def crowd(*models: str) -> Scene:
    """Models in one process, all ready."""
    scene = Scene()
    for model in models:
        scene.desire(entry(model))
    scene.settle()
    return scene


def given_up() -> Scene:
    """A model whose process ended five times while it started."""
    scene = Scene()
    scene.desire(entry(backend="alone"))
    for executor in range(1, GIVE_UP_AFTER):
        scene.crash_loop(executor)
    scene.exit(GIVE_UP_AFTER)
    scene.starting = []
    assert scene.states() == [UNAVAILABLE]
    return scene


def reasons(scene: Scene) -> dict[str, str]:
    return {status.model: status.reason for status in scene.planner.statuses()}


def spawned(actions: list[Action]) -> list[Spawn]:
    return [action for action in actions if isinstance(action, Spawn)]


def test_the_delay_doubles_up_to_its_limit() -> None:
    restarts = Restarts()
    delays = [restarts.delay(KEY, 0.0) for _ in range(9)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, DELAY_LIMIT_S, DELAY_LIMIT_S]


def test_a_great_many_deaths_do_not_overflow() -> None:
    assert doubled(FIRST_RETRY_S, 5000, RETRY_LIMIT_S) == RETRY_LIMIT_S


def test_a_success_starts_the_delay_anew() -> None:
    restarts = Restarts()
    restarts.delay(KEY, 0.0)
    restarts.delay(KEY, 0.0)
    restarts.forget(KEY)
    assert restarts.delay(KEY, 5.0) == 5.1


def test_an_unknown_process_may_start_at_once() -> None:
    assert Restarts().not_before(KEY) < 0


def test_a_reason_without_output_ends_with_the_cause() -> None:
    assert given_up_reason("m_0", "signal 9", "").endswith("the last time: signal 9")


def test_an_executor_that_died_is_started_again_after_a_pause() -> None:
    scene = Scene()
    scene.serve(entry())
    assert scene.exit(1) == [WakeAt(100.1), Publish()]
    (status,) = scene.planner.statuses()
    assert (status.state, status.executor) == (LOADING, "")
    scene.now = 100.05
    assert scene.handle(Tick()) == []
    scene.now = 100.1
    assert Spawn(2, "shared") in scene.handle(Tick())


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
    actions = scene.exit(5, cause="signal 11", last_output="Segmentation fault")
    (status,) = scene.planner.statuses()
    assert status.state == UNAVAILABLE
    assert status.reason == (
        "Internal: the process of instance 'm_0' ended 5 times without a successful execution in between, the last "
        "time: signal 11; its last output was:\nSegmentation fault"
    )
    assert WakeAt(scene.now + FIRST_RETRY_S) in actions
    assert scene.advance_to(scene.now + FIRST_RETRY_S - 0.001) == []


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
        actions = scene.exit(executor, culprits=())
        scene.now = next(a.at for a in actions if isinstance(a, WakeAt))
        scene.handle(Tick())
    assert scene.states() == [LOADING]


def test_two_crashes_while_executing_put_an_instance_into_a_process_of_its_own() -> None:
    scene = crowd("good", "bad")
    scene.crash("bad")
    assert scene.place("bad")[0] == scene.place("good")[0]
    scene.crash("bad")
    assert scene.place("bad")[0] != scene.place("good")[0]
    assert scene.states() == [READY, READY]


def test_an_innocent_neighbour_is_never_given_up() -> None:
    # Whenever the poisonous model ends the process, the other one is executing too, and never gets to the end.
    scene = crowd("good", "bad")
    for _ in range(GIVE_UP_AFTER):
        together = scene.place("good")[0] == scene.place("bad")[0]
        scene.crash("bad", executing=(0, 1) if together else (scene.place("bad")[1],))
    assert reasons(scene)["good"] == ""
    assert "ended 5 times" in reasons(scene)["bad"]
    assert scene.place("good")[0] != scene.place("bad")[0]


def test_a_timeout_is_blamed_on_the_execution_that_took_too_long() -> None:
    scene = crowd("good", "bad")
    for _ in range(GIVE_UP_AFTER):
        _, slot = scene.place("bad")
        scene.crash("bad", executing=(0, 1), culprits=(slot,))
    assert "ended 5 times" in reasons(scene)["bad"]
    # It was never blamed for anything: it shares a process with whoever comes.
    scene.desire(entry("third"))
    scene.settle()
    assert scene.place("third")[0] == scene.place("good")[0]


def test_idle_deaths_separate_those_that_live_together_and_give_nobody_up() -> None:
    scene = crowd("one", "two")
    for _ in range(GIVE_UP_AFTER):
        assert scene.place("one")[0] == scene.place("two")[0]
        scene.exit(scene.place("one")[0])
        scene.come_back()
    assert scene.place("one")[0] != scene.place("two")[0]
    assert scene.states() == [READY, READY]


def test_somebody_who_dies_idle_alone_is_given_up() -> None:
    scene = Scene()
    scene.desire(entry(backend="alone"))
    scene.settle()
    for _ in range(GIVE_UP_AFTER):
        scene.exit(scene.place()[0])
        scene.come_back()
    assert scene.states() == [UNAVAILABLE]


def test_what_was_given_up_is_tried_again_and_stays_unavailable_until_it_is_ready() -> None:
    scene = given_up()
    before = reasons(scene)["m"]
    assert Spawn(6, "alone") in scene.advance_to(scene.now + FIRST_RETRY_S)
    scene.handle(ExecutorUp(6, "executor-6"))
    assert (scene.states(), reasons(scene)["m"]) == ([UNAVAILABLE], before)
    scene.handle(InstanceLoaded(6, 0))
    assert (scene.states(), reasons(scene)["m"]) == ([READY], "")


def test_who_dies_on_trial_is_given_up_for_twice_as_long() -> None:
    scene = given_up()
    scene.advance_to(scene.now + FIRST_RETRY_S)
    actions = scene.exit(6)
    assert scene.states() == [UNAVAILABLE]
    assert WakeAt(scene.now + 2 * FIRST_RETRY_S) in actions
    assert not spawned(scene.advance_to(scene.now + 2 * FIRST_RETRY_S - 0.001))
    assert spawned(scene.advance_to(scene.now + 0.001))


def test_an_execution_after_a_trial_makes_everything_good() -> None:
    scene = given_up()
    scene.advance_to(scene.now + FIRST_RETRY_S)
    scene.settle()
    scene.handle(Executed(6, (0,)))
    scene.crash()
    assert scene.states() == [READY]


def test_a_trial_that_the_broker_cut_short_goes_on() -> None:
    scene = given_up()
    scene.advance_to(scene.now + FIRST_RETRY_S)
    scene.exit(6, culprits=())
    assert scene.states() == [UNAVAILABLE]
    scene.come_back()
    assert scene.states() == [READY]


def test_what_was_given_up_is_loaded_at_once_when_its_entry_is_written_again() -> None:
    scene = given_up()
    scene.desire(entry(backend="alone"))
    assert scene.states() == [LOADING]
    scene.come_back()
    assert scene.states() == [READY]
    scene.crash()
    assert scene.states() == [READY]


def test_who_was_in_a_crash_loads_alone() -> None:
    scene = Scene()
    wanted = entry(count=2)
    scene.desire(wanted)
    scene.handle(ExecutorUp(1, "executor-1"))
    scene.crash_loop(1)
    first, second = planned(wanted)
    assert LoadInstance(2, 0, first) in scene.handle(ExecutorUp(2, "executor-2"))
    assert LoadInstance(2, 1, second) in scene.handle(InstanceLoaded(2, 0))
