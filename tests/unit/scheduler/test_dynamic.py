"""Each rule of Triton's dynamic batcher, by its outcome."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler_stage import MS, Stage, arrival, batch, dynamic, entry, key, tensor
from shoal.scheduler.actions import BatchReason, Dispatch
from shoal.scheduler.dynamic import DynamicBatcher
from shoal.scheduler.events import CancelRequested, RequestsArrived


def formed(sizes: list[int], waited_ns: int = 0, **fields: Any) -> tuple[BatchReason | None, list[int]]:
    """Reason and sizes of the first batch out of requests of these sizes, all queued at 0."""
    model = dynamic(**fields)
    assert model.dynamic_batching is not None
    batcher = DynamicBatcher(model, model.dynamic_batching)
    for counter, size in enumerate(sizes):
        assert batcher.enqueue(entry(counter, batch_size=size), 0)
    decision = batcher.next_batch(waited_ns)
    return decision.reason, [member.size for member in decision.members]


def test_without_a_delay_everything_that_waits_is_sent() -> None:
    assert formed([1, 1, 1]) == ("instance idle", [1, 1, 1])


def test_nothing_waits_nothing_is_sent() -> None:
    assert formed([]) == (None, [])


def test_a_batch_ends_at_max_batch_size() -> None:
    assert formed([1] * 10) == ("full", [1] * 8)


def test_a_request_that_does_not_fit_any_more_ends_the_batch() -> None:
    assert formed([3, 3, 3]) == ("full", [3, 3])


def test_a_request_is_never_split_and_later_smaller_ones_do_not_overtake_it() -> None:
    assert formed([6, 4, 1]) == ("full", [6])


def test_a_request_as_large_as_max_batch_size_runs_alone() -> None:
    assert formed([8, 1]) == ("full", [8])


@pytest.mark.parametrize("max_batch_size", [0, 1])
def test_max_batch_size_0_and_1_make_batches_of_one(max_batch_size: int) -> None:
    assert formed([1, 1], max_batch_size=max_batch_size) == ("full", [1])


def test_a_request_of_batch_size_0_counts_as_one() -> None:
    assert formed([0, 0]) == ("instance idle", [1, 1])


def test_without_a_delay_the_largest_preferred_size_that_was_reached_is_sent() -> None:
    assert formed([1] * 5, preferred_batch_size=[2, 4]) == ("preferred size", [1] * 4)
    assert formed([1] * 3, preferred_batch_size=[2, 4]) == ("preferred size", [1, 1])


def test_without_a_delay_less_than_any_preferred_size_is_sent_too() -> None:
    assert formed([1] * 3, preferred_batch_size=[4]) == ("instance idle", [1] * 3)


def test_the_largest_preferred_size_is_full_when_it_is_max_batch_size() -> None:
    assert formed([1] * 9, preferred_batch_size=[4, 8]) == ("full", [1] * 8)


def test_requests_before_one_that_would_exceed_every_preferred_size_are_sent_at_once() -> None:
    fields: dict[str, Any] = {"preferred_batch_size": [4], "max_queue_delay_microseconds": 1000}
    assert formed([3, 2], **fields) == ("full", [3])


def test_a_request_larger_than_every_preferred_size_runs_alone() -> None:
    fields: dict[str, Any] = {"preferred_batch_size": [4], "max_queue_delay_microseconds": 1000}
    assert formed([6], **fields) == ("full", [6])
    assert formed([6, 1], **fields) == ("full", [6])


def test_with_a_delay_a_preferred_size_is_sent_at_once() -> None:
    fields: dict[str, Any] = {"preferred_batch_size": [4], "max_queue_delay_microseconds": 1000}
    assert formed([1] * 4, **fields) == ("preferred size", [1] * 4)


def test_with_a_delay_less_than_a_preferred_size_waits() -> None:
    assert formed([1] * 3, preferred_batch_size=[4], max_queue_delay_microseconds=1000) == (None, [])
    assert formed([1] * 7, max_queue_delay_microseconds=1000) == (None, [])


def test_after_the_delay_everything_is_sent() -> None:
    fields: dict[str, Any] = {"preferred_batch_size": [4], "max_queue_delay_microseconds": 1000}
    assert formed([1] * 3, waited_ns=1 * MS - 1, **fields) == (None, [])
    assert formed([1] * 3, waited_ns=1 * MS, **fields) == ("delay expired", [1] * 3)


def test_after_the_delay_a_preferred_size_does_not_hold_back_the_rest() -> None:
    fields: dict[str, Any] = {"preferred_batch_size": [4], "max_queue_delay_microseconds": 1000}
    assert formed([1] * 6, waited_ns=0, **fields) == ("preferred size", [1] * 4)
    assert formed([1] * 6, waited_ns=1 * MS, **fields) == ("delay expired", [1] * 6)


def test_after_the_delay_a_full_batch_is_called_full() -> None:
    assert formed([1] * 9, waited_ns=1 * MS, max_queue_delay_microseconds=1000) == ("full", [1] * 8)


def test_without_preferred_sizes_a_delay_waits_for_max_batch_size() -> None:
    assert formed([1] * 8, max_queue_delay_microseconds=1000) == ("full", [1] * 8)


def test_the_batcher_is_asked_again_when_the_delay_of_the_oldest_is_over() -> None:
    stage = Stage(dynamic(max_queue_delay_microseconds=1000))
    assert stage.arrive(1) == []
    stage.pass_ns(600_000)
    assert stage.arrive(2) == []
    assert stage.timer_ns == 1 * MS
    assert stage.wait(400_000) == [batch(1, "delay expired", [1, 2], queue_us=[1000, 400])]


def test_the_delay_counts_from_arrival_also_while_every_instance_is_busy() -> None:
    stage = Stage(dynamic(max_queue_delay_microseconds=1000))
    stage.arrive(*range(8))
    stage.arrive(8)
    stage.wait(2 * MS)
    assert stage.done(1) == [batch(2, "delay expired", [8], queue_us=2000)]


def test_what_arrives_while_the_instance_is_busy_goes_together() -> None:
    stage = Stage(dynamic())
    assert stage.arrive(1) == [batch(1, "instance idle", [1])]
    assert stage.arrive(2) == []
    assert stage.arrive(3, 4) == []
    assert stage.done(1) == [batch(2, "instance idle", [2, 3, 4])]


def test_requests_of_one_turn_are_queued_before_the_first_is_sent() -> None:
    stage = Stage(dynamic(), instances=2)
    assert stage.arrive(1, 2, 3) == [batch(1, "instance idle", [1, 2, 3])]


def test_every_instance_that_is_free_gets_a_batch() -> None:
    stage = Stage(dynamic(max_batch_size=2), instances=2)
    assert stage.arrive(1, 2, 3, 4, 5) == [batch(1, "full", [1, 2]), batch(2, "full", [3, 4], slot=1)]


def test_the_instance_that_has_been_idle_for_longest_is_next() -> None:
    stage = Stage(dynamic(), instances=2)
    stage.arrive(1)
    stage.arrive(2)
    stage.done(2)
    stage.done(1)
    assert stage.arrive(3) == [batch(3, "instance idle", [3], slot=1)]


def test_waiting_out_the_delay_must_not_cost_a_request_its_deadline() -> None:
    stage = Stage(dynamic(max_queue_delay_microseconds=5000))
    assert stage.arrive(1) == []
    assert stage.arrive(2, deadline_us=4000) == [batch(1, "deadline", [1, 2])]


def test_a_deadline_after_the_delay_does_not_hurry_the_batch() -> None:
    stage = Stage(dynamic(max_queue_delay_microseconds=5000))
    assert stage.arrive(1, deadline_us=6000) == []


# Which inputs must match.

VARIABLE = {"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}
FIXED = {"name": "x", "data_type": "TYPE_FP32", "dims": [16]}
RAGGED = VARIABLE | {"allow_ragged_batch": True}
SHAPE_TENSOR = {"name": "shape", "data_type": "TYPE_INT32", "dims": [2], "is_shape_tensor": True}


def test_another_shape_ends_the_batch_and_nobody_is_looked_for_behind_it() -> None:
    stage = Stage(dynamic(inputs=[VARIABLE]))
    shapes = [4, 4, 5, 4]
    arrivals = tuple(arrival(c, inputs=(tensor("x", 1, n),)) for c, n in enumerate(shapes))
    assert stage.handle(RequestsArrived(arrivals)) == [batch(1, "shape change", [0, 1])]
    assert stage.done(1) == [batch(2, "shape change", [2])]
    assert stage.done(2) == [batch(3, "instance idle", [3])]


def test_the_batch_dimension_is_not_compared() -> None:
    stage = Stage(dynamic(inputs=[VARIABLE]))
    arrivals = (
        arrival(1, batch_size=2, inputs=(tensor("x", 2, 4),)),
        arrival(2, batch_size=3, inputs=(tensor("x", 3, 4),)),
    )
    assert stage.handle(RequestsArrived(arrivals)) == [batch(1, "instance idle", [1, 2])]


@pytest.mark.parametrize("spec", [FIXED, RAGGED])
def test_fixed_and_ragged_inputs_are_not_compared(spec: dict[str, Any]) -> None:
    stage = Stage(dynamic(inputs=[spec]))
    arrivals = tuple(arrival(c, inputs=(tensor("x", 1, c),)) for c in (1, 2))
    assert stage.handle(RequestsArrived(arrivals)) == [batch(1, "instance idle", [1, 2])]


@pytest.mark.parametrize(("second", "reason"), [(b"\1\2", "instance idle"), (b"\1\3", "shape change")])
def test_shape_tensors_are_compared_by_content(second: bytes, reason: BatchReason) -> None:
    stage = Stage(dynamic(inputs=[SHAPE_TENSOR]))
    header = tensor("shape", 2, nbytes=2)
    arrivals = (arrival(1, b"\1\2", inputs=(header,)), arrival(2, second, inputs=(header,)))
    (sent,) = stage.handle(RequestsArrived(arrivals))
    assert getattr(sent, "reason", None) == reason


def test_with_optional_inputs_all_requests_of_a_batch_have_the_same_inputs() -> None:
    stage = Stage(dynamic(inputs=[FIXED, FIXED | {"name": "y", "optional": True}]))
    x, y = tensor("x", 1, 16), tensor("y", 1, 16)
    given = [(x, y), (y, x), (x,), (x,)]
    arrivals = tuple(arrival(c, inputs=inputs) for c, inputs in enumerate(given))
    assert stage.handle(RequestsArrived(arrivals)) == [batch(1, "shape change", [0, 1])]
    assert stage.done(1) == [batch(2, "instance idle", [2, 3])]


# What may change while a batch is waiting for its delay.


def test_a_cancelled_request_leaves_the_batch_that_is_forming() -> None:
    stage = Stage(dynamic(max_queue_delay_microseconds=1000))
    stage.arrive(1, 2, 3)
    stage.handle(CancelRequested("s", (2,)))
    assert stage.wait(1 * MS) == [batch(1, "delay expired", [1, 3], queue_us=1000)]


def test_a_request_of_a_higher_priority_joins_the_forming_batch_in_front() -> None:
    model = dynamic(max_queue_delay_microseconds=1000, priority_levels=2, default_priority_level=2)
    stage = Stage(model)
    stage.arrive(1, 2)
    stage.arrive(3, priority=1)
    assert stage.wait(1 * MS) == [batch(1, "delay expired", [3, 1, 2], queue_us=1000)]


def test_a_forming_batch_is_sent_as_soon_as_a_request_fills_it() -> None:
    stage = Stage(dynamic(max_batch_size=3, max_queue_delay_microseconds=1000))
    assert stage.arrive(1) == []
    assert stage.arrive(2) == []
    assert stage.arrive(3) == [batch(1, "full", [1, 2, 3])]


def test_nothing_joins_a_forming_batch_past_a_request_that_cannot() -> None:
    stage = Stage(dynamic(inputs=[VARIABLE], max_queue_delay_microseconds=1000))
    assert stage.arrive(1, inputs=(tensor("x", 1, 4),)) == []
    arrivals = (arrival(2, inputs=(tensor("x", 1, 5),)), arrival(3, inputs=(tensor("x", 1, 4),)))
    assert stage.handle(RequestsArrived(arrivals)) == [batch(1, "shape change", [1])]
    assert stage.done(1) == [batch(2, "shape change", [2])]


# Ordering.


def test_preserve_ordering_keeps_one_batch_in_flight_so_that_answers_cannot_overtake() -> None:
    stage = Stage(dynamic(max_batch_size=2, preserve_ordering=True), instances=2)
    assert stage.arrive(1, 2, 3) == [batch(1, "full", [1, 2])]
    assert stage.arrive(4) == []
    assert stage.done(1) == [batch(2, "full", [3, 4], slot=1)]


def test_without_preserve_ordering_batches_run_side_by_side() -> None:
    stage = Stage(dynamic(max_batch_size=2), instances=2)
    assert len(stage.arrive(1, 2, 3)) == 2


def test_requests_that_do_not_fit_into_one_message_go_into_several_batches() -> None:
    stage = Stage(dynamic(max_batch_size=4))
    big = bytes(600 << 20)
    sent = stage.handle(RequestsArrived((arrival(1, big), arrival(2, big), arrival(3))))
    (first,) = sent
    assert isinstance(first, Dispatch)
    assert (first.reason, [item.key for item in first.items]) == ("full", [key(1)])
    (second,) = stage.done(1)
    assert isinstance(second, Dispatch)
    assert [item.key for item in second.items] == [key(2), key(3)]
