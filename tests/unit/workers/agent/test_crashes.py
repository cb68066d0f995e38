from __future__ import annotations

from shoal.workers.agent.crashes import DELAY_LIMIT_S, Restarts, exit_text, given_up_reason

KEY = ("python", None)


def test_the_delay_doubles_up_to_its_limit() -> None:
    restarts = Restarts()
    delays = [restarts.delay(KEY, 0.0) for _ in range(9)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, DELAY_LIMIT_S, DELAY_LIMIT_S]


def test_a_great_many_deaths_do_not_overflow() -> None:
    restarts = Restarts()
    for _ in range(5000):
        last = restarts.delay(KEY, 0.0)
    assert last == DELAY_LIMIT_S


def test_a_success_starts_the_delay_anew() -> None:
    restarts = Restarts()
    restarts.delay(KEY, 0.0)
    restarts.delay(KEY, 0.0)
    restarts.forget(KEY)
    assert restarts.delay(KEY, 5.0) == 5.1


def test_an_unknown_process_may_start_at_once() -> None:
    assert Restarts().not_before(KEY) < 0


def test_ends_are_told_in_words() -> None:
    assert (exit_text(-9), exit_text(2)) == ("signal 9", "exit code 2")


def test_a_reason_without_output_ends_with_the_cause() -> None:
    assert given_up_reason("m_0", "signal 9", "").endswith("the last time with signal 9")
