from __future__ import annotations

from scheduler_stage import MS, Stage, batch, config, too_late


def test_every_request_is_a_batch_of_its_own() -> None:
    stage = Stage(config(), instances=2)
    assert stage.arrive(1, 2, 3) == [batch(1, "instance idle", [1]), batch(2, "instance idle", [2], slot=1)]


def test_requests_run_in_order_of_arrival_on_any_free_instance() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1, 2, 3, 4)
    stage.pass_ns(1 * MS)
    assert stage.done(2) == [batch(3, "instance idle", [3], slot=1, queue_us=1000)]
    assert stage.done(1) == [batch(4, "instance idle", [4], slot=0, queue_us=1000)]


def test_priority_and_timeout_are_ignored() -> None:
    stage = Stage(config())
    stage.arrive(0)
    stage.arrive(1, priority=2, timeout_us=10)
    stage.arrive(2, priority=1)
    assert stage.wait(1 * MS) == []
    assert stage.done(1) == [batch(2, "instance idle", [1], queue_us=1000)]


def test_a_deadline_counts_every_request_ahead_as_an_execution() -> None:
    stage = Stage(config())
    stage.arrive(0, 1, 2)
    stage.arrive(3, deadline_us=1000)
    assert stage.wait(1 * MS) == [too_late(3, 1, 1, "3 executions")]
