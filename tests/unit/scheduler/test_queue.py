"""Queue policies and priorities of the dynamic batcher, by their outcome."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler_stage import MS, Stage, arrival, batch, dynamic, entry, key, refusal, too_late
from shoal.core.errors import Code
from shoal.core.model_config import DynamicBatching, QueuePolicy
from shoal.scheduler.events import RequestsArrived
from shoal.scheduler.queue import MODEL_LIMIT, Expired, PriorityQueue

FULL = "[request id: <id_unknown>] Exceeds maximum queue size"


def busy(**batching: Any) -> Stage:
    """A model with these batching fields whose only instance executes request 0."""
    stage = Stage(dynamic(**batching))
    assert stage.arrive(0) == [batch(1, "instance idle", [0])]
    return stage


def policy(**fields: Any) -> dict[str, Any]:
    return {"default_queue_policy": fields}


def test_requests_beyond_max_queue_size_are_refused_before_they_are_accepted() -> None:
    stage = busy(**policy(max_queue_size=2))
    refused = refusal(3, Code.UNAVAILABLE, FULL)
    assert stage.arrive(1, 2, 3) == [refused]
    assert stage.done(1) == [batch(2, "instance idle", [1, 2])]
    assert stage.arrive(3) == []


def test_a_refusal_for_want_of_room_names_the_id_of_the_request() -> None:
    stage = busy(**policy(max_queue_size=1))
    text = "[request id: r7] Exceeds maximum queue size"
    assert stage.arrive(1, 2, request_id="r7") == [refusal(2, Code.UNAVAILABLE, text)]


def test_max_queue_size_counts_each_priority_level_on_its_own() -> None:
    stage = busy(priority_levels=2, default_priority_level=1, **policy(max_queue_size=1))
    assert stage.arrive(1, priority=1) == []
    assert stage.arrive(2, priority=2) == []
    assert stage.arrive(3, priority=2) == [refusal(3, Code.UNAVAILABLE, FULL)]


def test_max_queue_size_counts_delayed_requests_too() -> None:
    stage = busy(**policy(max_queue_size=1, default_timeout_microseconds=1000, timeout_action="DELAY"))
    stage.arrive(1)
    stage.wait(2 * MS)
    assert stage.arrive(2) == [refusal(2, Code.UNAVAILABLE, FULL)]


def test_a_level_may_have_a_policy_of_its_own() -> None:
    stage = busy(priority_levels=2, default_priority_level=2, priority_queue_policy={"1": {"max_queue_size": 1}})
    assert stage.arrive(1, 2, priority=1) == [refusal(2, Code.UNAVAILABLE, FULL)]
    assert stage.arrive(3, 4, priority=2) == []


def test_a_request_is_rejected_at_its_timeout_even_while_every_instance_is_busy() -> None:
    stage = busy(**policy(default_timeout_microseconds=1000))
    stage.arrive(1)
    assert stage.wait(1 * MS - 1) == []
    assert stage.wait(1) == [refusal(1, Code.UNAVAILABLE, "Request timeout expired", queue_ns=1 * MS)]
    assert stage.done(1) == []


@pytest.mark.parametrize(("timeout_us", "expires_ns"), [(400, 400_000), (0, 1 * MS), (1000, 1 * MS), (5000, 1 * MS)])
def test_a_request_may_only_make_its_timeout_shorter(timeout_us: int, expires_ns: int) -> None:
    stage = busy(**policy(default_timeout_microseconds=1000, allow_timeout_override=True))
    stage.arrive(1, timeout_us=timeout_us)
    assert stage.wait(expires_ns - 1) == []
    assert stage.wait(1) == [refusal(1, Code.UNAVAILABLE, "Request timeout expired", queue_ns=expires_ns)]


def test_the_timeout_of_a_request_does_not_count_unless_the_policy_allows_it() -> None:
    stage = busy(**policy(default_timeout_microseconds=1000))
    stage.arrive(1, timeout_us=400)
    assert stage.wait(500_000) == []


def test_the_timeout_of_a_request_does_not_count_when_the_policy_has_none() -> None:
    stage = busy(**policy(allow_timeout_override=True))
    stage.arrive(1, timeout_us=400)
    assert stage.wait(1000 * MS) == []


def test_a_delayed_request_goes_behind_all_live_ones_of_its_level() -> None:
    stage = busy(max_batch_size=2, **policy(default_timeout_microseconds=1000, timeout_action="DELAY"))
    stage.arrive(1, 2)
    stage.pass_ns(600_000)
    stage.arrive(3)
    assert stage.wait(600_000) == []
    assert stage.done(1) == [batch(2, "full", [3, 1], queue_us=[600, 1200])]
    assert stage.done(2) == [batch(3, "instance idle", [2], queue_us=1200)]


def test_delayed_requests_keep_the_order_in_which_they_came() -> None:
    fields = {"default_timeout_microseconds": 1000, "timeout_action": "DELAY", "allow_timeout_override": True}
    stage = busy(**policy(**fields))
    stage.arrive(1)
    stage.arrive(2, timeout_us=500)
    stage.pass_ns(2 * MS)
    stage.arrive(3)
    assert stage.done(1) == [batch(2, "instance idle", [3, 1, 2], queue_us=[0, 2000, 2000])]


def test_a_delayed_request_has_no_further_timeout() -> None:
    stage = busy(**policy(default_timeout_microseconds=1000, timeout_action="DELAY"))
    stage.arrive(1)
    assert stage.wait(1000 * MS) == []
    assert stage.done(1) == [batch(2, "instance idle", [1], queue_us=1_000_000)]


def test_lower_priority_numbers_go_first_and_order_is_kept_inside_a_level() -> None:
    stage = busy(priority_levels=3, default_priority_level=2)
    arrivals = [arrival(c, priority=p) for c, p in enumerate([3, 1, 2, 1, 3], start=1)]
    stage.handle(RequestsArrived(tuple(arrivals)))
    assert stage.done(1) == [batch(2, "instance idle", [2, 4, 3, 1, 5])]


@pytest.mark.parametrize("priority", [0, 4])
def test_a_priority_that_is_0_or_above_the_levels_is_the_default_one(priority: int) -> None:
    stage = busy(priority_levels=3, default_priority_level=2)
    stage.arrive(1, priority=3)
    stage.arrive(2, priority=priority)
    stage.arrive(3, priority=1)
    assert stage.done(1) == [batch(2, "instance idle", [3, 2, 1])]


def test_without_levels_the_priority_is_ignored() -> None:
    stage = busy()
    stage.arrive(1, priority=9)
    stage.arrive(2, priority=1)
    assert stage.done(1) == [batch(2, "instance idle", [1, 2])]


# Deadlines of clients.


def test_a_request_is_refused_at_its_deadline_with_what_was_ahead_of_it() -> None:
    stage = Stage(dynamic(max_batch_size=1))
    stage.arrive(0, 1, 2, 3)
    stage.arrive(4, deadline_us=250_000)
    stage.pass_ns(251 * MS)
    text = (
        "deadline of 250 ms passed after 251 ms in the queue of 'm' (4 executions ahead); the request was not started"
    )
    assert stage.wait(0) == [refusal(4, Code.UNAVAILABLE, text, queue_ns=251 * MS)]


def test_one_execution_ahead_is_singular() -> None:
    stage = Stage(dynamic())
    stage.arrive(0)
    stage.arrive(1, deadline_us=1000)
    assert stage.wait(1 * MS) == [too_late(1, 1, 1, "1 execution")]


def test_a_deadline_that_has_passed_already_is_refused_at_once() -> None:
    stage = Stage(dynamic())
    (refused,) = stage.arrive(1, deadline_us=0)
    assert refused == too_late(1, 0, 0, "0 executions")


def test_a_request_that_is_executing_is_not_refused_at_its_deadline() -> None:
    stage = Stage(dynamic())
    stage.arrive(1, deadline_us=1000)
    assert stage.wait(2 * MS) == []


# The queue itself.


def test_the_queue_of_a_model_is_bounded() -> None:
    queue = PriorityQueue(DynamicBatching())
    assert all(queue.push(entry(counter), 0) for counter in range(MODEL_LIMIT))
    assert not queue.push(entry(MODEL_LIMIT), 0)


def test_requests_taken_back_come_first_in_their_order() -> None:
    queue = PriorityQueue(DynamicBatching())
    queue.push(entry(3), 0)
    queue.push_front([entry(1), entry(2)])
    assert [found.key for found in queue] == [key(1), key(2), key(3)]


def test_a_request_taken_back_has_used_up_its_policys_timeout_but_not_its_deadline() -> None:
    queue = PriorityQueue(DynamicBatching(default_queue_policy=QueuePolicy(default_timeout_us=10)))
    again = entry(1, deadline_us=20)
    queue.push(again, 0)
    assert queue.remove(again.key) == again
    queue.push_front([again])
    assert queue.expire(10_000) == ([], False)
    assert queue.expire(20_000) == ([Expired(again, "deadline")], False)
    assert queue.size == 0


def test_times_of_requests_that_left_do_not_pile_up() -> None:
    queue = PriorityQueue(DynamicBatching())
    for counter in range(1000):
        queue.push(entry(counter, deadline_us=10_000_000 - counter), 0)
        queue.remove(key(counter))
    last = entry(1000, deadline_us=10_000_000)
    queue.push(last, 0)
    assert queue.next_expiry_ns is not None
    assert queue.expire(10_000_000_000) == ([Expired(last, "deadline")], False)
    assert queue.next_expiry_ns is None
