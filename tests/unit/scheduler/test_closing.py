"""When submitters are told that nobody reads the inputs of their requests any more."""

from __future__ import annotations

import pytest

from scheduler_stage import MS, S, Stage, alone, arrival, batch, closed, config, dynamic, in_arena, key, refusal, tensor
from shoal.core.errors import Code
from shoal.core.messages import V1, Cancel, ReconcileReply, Resend, RunningBatch, Stale
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import (
    BatchesLost,
    CancelRequested,
    ExecutorReported,
    ModelConfigured,
    ReconcileAsked,
    RequestsArrived,
    SubmitterLeft,
)

INPUTS = (tensor("small", 1), in_arena())


def test_a_finished_batch_closes_those_of_its_requests_that_have_memory() -> None:
    stage = Stage(dynamic(), instances=1)
    stage.handle(RequestsArrived((arrival(1, inputs=INPUTS), arrival(2), arrival(3, inputs=INPUTS))))
    assert stage.done(1) == [closed(1, 3)]


def test_what_is_inline_is_not_told_of() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=(tensor("small", 1),))
    assert stage.done(1) == []


def test_each_submitter_is_told_once_of_all_that_an_event_closes() -> None:
    stage = Stage(dynamic())
    mine, others = arrival(1, inputs=INPUTS), arrival(5, inputs=INPUTS, submitter="t")
    stage.handle(RequestsArrived((mine, others, arrival(2, inputs=INPUTS))))
    assert stage.done(1) == [closed(1, 2), closed(5, submitter="t")]


def test_a_refusal_says_it_all() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=INPUTS)
    stage.arrive(2, inputs=INPUTS, deadline_us=1000)
    assert [type(action).__name__ for action in stage.wait(1 * MS)] == ["Refuse"]
    stage.arrive(3, inputs=INPUTS)
    assert stage.handle(CancelRequested("s", (3,))) == [refusal(3, Code.CANCELLED, "", queue_ns=1)]


def test_a_cancelled_request_is_closed_when_its_batch_is_done() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=INPUTS)
    assert stage.handle(CancelRequested("s", (1,))) == [Tell("e", Cancel(V1, "s", (1,)))]
    assert stage.done(1) == [closed(1)]


def test_a_lost_batch_closes_nothing() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=INPUTS)
    assert stage.handle(BatchesLost("e", 1, (1,))) == []
    assert stage.wait(50 * MS) == [batch(2, "instance idle", [1], queue_us=50_000)]


def test_a_request_that_is_tried_again_is_closed_when_that_is_done() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1, inputs=INPUTS)
    assert stage.gone() == [alone(2, 1, executor="e2")]
    assert stage.done(1) == []
    assert stage.done(2, executor="e2") == [closed(1)]


def test_a_batch_that_is_done_after_all_closes_what_waited_for_its_second_try() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=INPUTS)
    stage.gone()
    assert stage.done(1) == [closed(1)]


def test_what_another_batch_has_answered_is_closed_when_its_second_try_ends_with_its_executor() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1, inputs=INPUTS)
    stage.gone()
    stage.done(1)
    assert stage.gone("e2") == [closed(1)]


def test_what_two_executors_turn_out_to_hold_is_closed_when_both_are_done() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1, inputs=INPUTS)
    stage.handle(ExecutorReported("e2", (RunningBatch(0, 7, 0, (key(1),), (0,)),), ()))
    assert stage.done(7, executor="e2", epoch=0) == []
    assert stage.done(1) == [closed(1)]


@pytest.mark.parametrize("first", [1, 7])
def test_what_two_executors_hold_is_not_sent_again_when_one_of_them_ends(first: int) -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1, inputs=INPUTS)
    stage.handle(ExecutorReported("e2", (RunningBatch(0, 7, 0, (key(1),), (0,)),), ()))
    other = ("e", 1, 1) if first == 7 else ("e2", 7, 0)
    assert stage.gone("e" if first == 1 else "e2") == []
    assert stage.done(other[1], executor=other[0], epoch=other[2]) == [closed(1)]


def test_an_adopted_batch_closes_all_its_requests_since_nobody_knows_their_inputs() -> None:
    stage = Stage(config())
    stage.handle(ExecutorReported("e", (RunningBatch(0, 7, 0, (key(1), key(2)), (0, 0)),), ()))
    assert stage.done(7, epoch=0) == [closed(1, 2)]


def test_nobody_is_told_when_the_submitter_is_gone() -> None:
    stage = Stage(dynamic())
    stage.handle(RequestsArrived((arrival(1, inputs=INPUTS), arrival(2, inputs=INPUTS, submitter="t"))))
    stage.handle(SubmitterLeft("s"))
    assert stage.done(1) == [closed(2, submitter="t")]


def test_a_request_that_is_handed_back_is_told_of_by_that() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=INPUTS)
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    assert stage.gone() == [Tell("s", Stale(V1, (1,)))]


def test_a_second_copy_of_a_finished_request_is_closed_at_once() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=INPUTS)
    stage.done(1)
    assert stage.arrive(1, inputs=INPUTS) == [Tell("e", Resend(V1, "s", 1)), closed(1)]


def test_of_those_that_are_closing_the_ones_that_are_not_here_are_closed() -> None:
    stage = Stage(config())
    stage.arrive(1, 2, inputs=INPUTS)
    stage.arrive(3, inputs=INPUTS, model="newer than the view")
    asked = stage.handle(ReconcileAsked("s", (1,), (1, 2, 3, 4)))
    assert asked == [closed(4), Tell("s", ReconcileReply(V1, 1, (), ()))]


def test_a_batch_that_is_open_for_long_keeps_its_requests_open() -> None:
    stage = Stage(config())
    stage.arrive(1, inputs=INPUTS)
    stage.wait(30 * S)
    assert stage.handle(ReconcileAsked("s", (), (1,))) == [Tell("s", ReconcileReply(V1, 1, (), ()))]
