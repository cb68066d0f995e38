from __future__ import annotations

from shoal.gateway.deadlines import Deadlines


def test_requests_are_given_up_in_the_order_of_their_times() -> None:
    deadlines = Deadlines()
    still_open = {1, 2, 3}
    for at, counter in ((3.0, 1), (1.0, 2), (2.0, 3)):
        deadlines.watch(at, counter, still_open)
    assert deadlines.passed(0.9) == []
    assert deadlines.passed(2.0) == [2, 3]
    assert deadlines.passed(9.0) == [1]


def test_times_of_closed_requests_do_not_pile_up() -> None:
    deadlines = Deadlines()
    deadlines.watch(7200.0, 0, {0})
    for counter in range(1, 5000):
        deadlines.watch(3600.0, counter, {0, counter})
    assert len(deadlines) < 2000
    assert 0 in deadlines.passed(7200.0)
