from __future__ import annotations

from shoal.workers.agent.watch import SILENT_CHECKS, STOPPED_CHECKS, Health, Watch


def checks(watch: Watch, count: int, is_excused: bool = False, state: str = "S", is_late: bool = False) -> list[Health]:
    return [watch.check(state, is_excused, is_late) for _ in range(count)]


def asked() -> Watch:
    watch = Watch()
    watch.asked()
    return watch


def test_silence_of_several_checks_is_a_hang() -> None:
    assert checks(asked(), SILENT_CHECKS) == [Health.WELL] * (SILENT_CHECKS - 1) + [Health.SILENT]


def test_who_was_not_asked_is_not_silent() -> None:
    assert set(checks(Watch(), 3 * SILENT_CHECKS)) == {Health.WELL}


def test_busy_is_healthy_for_as_long_as_it_likes() -> None:
    assert set(checks(asked(), 100, is_excused=True, state="R")) == {Health.WELL}


def test_an_executor_that_was_busy_until_just_now_gets_its_time() -> None:
    watch = asked()
    checks(watch, 100, is_excused=True)
    assert set(checks(watch, SILENT_CHECKS - 1)) == {Health.WELL}


def test_an_answer_ends_the_silence() -> None:
    watch = asked()
    checks(watch, SILENT_CHECKS - 1)
    watch.answered()
    watch.asked()
    assert set(checks(watch, SILENT_CHECKS - 1)) == {Health.WELL}


def test_one_ping_is_awaited_at_a_time() -> None:
    watch = asked()
    assert watch.is_waiting
    watch.answered()
    assert not watch.is_waiting


def test_a_stopped_process_is_noticed_even_when_it_is_busy() -> None:
    expected = [Health.WELL] * (STOPPED_CHECKS - 1) + [Health.STOPPED]
    assert checks(Watch(), STOPPED_CHECKS, state="T", is_excused=True) == expected


def test_a_process_that_was_stopped_for_a_moment_is_well() -> None:
    watch = Watch()
    for _ in range(10):
        assert set(checks(watch, STOPPED_CHECKS - 1, state="T") + checks(watch, 1, state="R")) == {Health.WELL}


def test_a_process_under_a_debugger_is_neither_stopped_nor_silent() -> None:
    assert set(checks(asked(), 100, state="t")) == {Health.WELL}


def test_an_agent_that_did_not_run_itself_judges_nobody() -> None:
    # Ctrl-Z stops executors and agent; `fg` may wake the agent first.
    watch = asked()
    checks(watch, STOPPED_CHECKS - 1, state="T")
    assert checks(watch, 1, state="T", is_late=True) == [Health.WELL]
    assert set(checks(watch, STOPPED_CHECKS - 1, state="T")) == {Health.WELL}


def test_late_checks_are_no_silence() -> None:
    assert set(checks(asked(), 100, is_late=True)) == {Health.WELL}


def test_an_unknown_state_is_no_reason_to_end_a_process() -> None:
    assert set(checks(Watch(), 100, state="")) == {Health.WELL}
