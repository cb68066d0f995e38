from __future__ import annotations

from shoal.scheduler.finished import DEAD_LIMIT, FinishedRequests


def test_the_newest_requests_are_remembered_and_old_ones_forgotten() -> None:
    finished = FinishedRequests(limit=10)
    for counter in range(100):
        finished.add([("s", counter)], "e")
    known = [counter for counter in range(100) if finished.executor_of(("s", counter))]
    assert known[-10:] == list(range(90, 100))
    assert len(known) <= 20


def test_dead_executors_are_remembered_up_to_a_bound() -> None:
    finished = FinishedRequests()
    for number in range(DEAD_LIMIT + 1):
        finished.executor_died(f"e{number}")
    assert not finished.is_dead("e0")
    assert finished.is_dead("e1")
    assert finished.is_dead(f"e{DEAD_LIMIT}")
