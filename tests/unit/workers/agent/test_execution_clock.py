from __future__ import annotations

from shoal.workers.agent.execution_clock import ExecutionClock
from shoal.workers.board import Row

S = 1_000_000_000
TIMEOUTS = {0: 2.5}


def executing(since_ns: int, started: int = 1) -> Row:
    return Row(started, started - 1, 1, started, since_ns)


def test_an_execution_is_overdue_after_its_timeout() -> None:
    clock = ExecutionClock()
    clock.look({0: executing(10 * S)}, 0)
    assert clock.overdue(TIMEOUTS, 10 * S + 2_500_000_000) == ()
    assert clock.overdue(TIMEOUTS, 10 * S + 2_500_000_001) == (0,)


def test_slots_without_a_timeout_take_as_long_as_they_like() -> None:
    clock = ExecutionClock()
    clock.look({0: executing(10 * S), 1: executing(0)}, 0)
    assert clock.overdue(TIMEOUTS, 12 * S) == ()


def test_an_execution_that_came_back_is_not_overdue() -> None:
    clock = ExecutionClock()
    clock.look({0: executing(10 * S)}, 0)
    clock.look({0: Row(1, 1, 1, 1, 10 * S)}, 0)
    assert clock.overdue(TIMEOUTS, 100 * S) == ()


def test_time_that_the_agent_missed_does_not_count() -> None:
    clock = ExecutionClock()
    row = executing(10 * S)
    clock.look({0: row}, 0)
    clock.look({0: row}, 60 * S)
    assert clock.overdue(TIMEOUTS, 72 * S) == ()
    clock.look({0: row}, 0)
    assert clock.overdue(TIMEOUTS, 73 * S) == (0,)


def test_each_execution_has_its_own_time() -> None:
    clock = ExecutionClock()
    clock.look({0: executing(10 * S)}, 60 * S)
    clock.look({0: executing(80 * S, started=2)}, 0)
    assert clock.overdue(TIMEOUTS, 83 * S) == (0,)
