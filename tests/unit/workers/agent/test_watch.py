from __future__ import annotations

from shoal.workers.agent.watch import SILENT_CHECKS, Watch


def checks(watch: Watch, count: int, is_busy: bool = False) -> list[bool]:
    return [watch.check(is_busy) for _ in range(count)]


def test_silence_of_several_checks_is_a_hang() -> None:
    watch = Watch()
    watch.asked()
    assert checks(watch, SILENT_CHECKS) == [False] * (SILENT_CHECKS - 1) + [True]


def test_who_was_not_asked_is_not_silent() -> None:
    assert not any(checks(Watch(), 3 * SILENT_CHECKS))


def test_busy_is_healthy_for_as_long_as_it_likes() -> None:
    watch = Watch()
    watch.asked()
    assert not any(checks(watch, 100, is_busy=True))


def test_an_executor_that_was_busy_until_just_now_gets_its_time() -> None:
    watch = Watch()
    watch.asked()
    checks(watch, 100, is_busy=True)
    assert not any(checks(watch, SILENT_CHECKS - 1))


def test_an_answer_ends_the_silence() -> None:
    watch = Watch()
    watch.asked()
    checks(watch, SILENT_CHECKS - 1)
    watch.answered()
    watch.asked()
    assert not any(checks(watch, SILENT_CHECKS - 1))


def test_one_ping_is_awaited_at_a_time() -> None:
    watch = Watch()
    watch.asked()
    assert watch.is_waiting
    watch.answered()
    assert not watch.is_waiting
