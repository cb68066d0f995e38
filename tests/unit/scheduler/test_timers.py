from __future__ import annotations

from shoal.scheduler.actions import SetTimer
from shoal.scheduler.timers import Timers


def test_the_timer_is_set_for_the_earliest_time_and_again_only_for_an_earlier_one() -> None:
    timers: Timers[str] = Timers()
    assert timers.change() is None
    timers.ask("a", 30)
    assert timers.change() == SetTimer(30)
    timers.ask("b", 40)
    assert timers.change() is None
    timers.ask("c", 20)
    assert timers.change() == SetTimer(20)


def test_each_target_is_due_once_at_the_earliest_time_it_was_asked_for() -> None:
    timers: Timers[str] = Timers()
    timers.ask("a", 30)
    timers.ask("a", 10)
    timers.ask("a", 20)
    assert timers.due(9) == []
    assert timers.due(10) == ["a"]
    assert timers.due(30) == []


def test_a_timer_that_fires_too_early_is_set_again() -> None:
    timers: Timers[str] = Timers()
    timers.ask("a", 30)
    timers.change()
    assert timers.due(29) == []
    assert timers.change() == SetTimer(30)


def test_times_that_an_earlier_one_took_the_place_of_do_not_pile_up() -> None:
    timers: Timers[str] = Timers()
    for now in range(1000):
        timers.ask("a", 10**9)
        timers.ask("a", now)
        assert timers.due(now) == ["a"]
    timers.ask("a", 10**9)
    assert len(timers) < 200
    assert timers.due(10**9) == ["a"]
