"""Taking over from an owner before us."""

from __future__ import annotations

from itertools import count

import pytest

from scheduler_stage import MS, S, Stage, alone, arrival, batch, closed, config, dynamic, in_arena, key, refusal
from shoal.core.errors import Code
from shoal.core.messages import V1, BatchQuery, Cancel, ReconcileReply, Resend, RunningBatch
from shoal.scheduler.actions import Action, Dispatch, Fault, Refuse, Tell
from shoal.scheduler.core import SchedulerCore
from shoal.scheduler.events import (
    AdoptionBegan,
    BatchesLost,
    CancelRequested,
    ExecutorGone,
    ExecutorReported,
    LinkChanged,
    ModelConfigured,
    OwnershipRenewed,
    ReconcileAsked,
    RequestsArrived,
    SubmitterLeft,
)

OLD, NEW = 1, 2
NOTHING = ReconcileReply(V1, NEW, (), ())


def new_owner(executors: int = 1) -> Stage:
    """A core of epoch 2 that waits for the reports of executors `e0`, `e1`, ..., each with one instance."""
    stage = Stage(epoch=NEW)
    stage.handle(ModelConfigured("m", "g", {1: dynamic()}))
    for number in range(executors):
        stage.ready(executor=f"e{number}")
    assert stage.handle(AdoptionBegan()) == []
    return stage


def report(stage: Stage, executor: str, *running: int, kept: tuple[int, ...] = (), deaths: int = 0) -> list[Action]:
    """An executor reports that its instance holds old batch 7 of these requests, each with so many deaths."""
    batches = (RunningBatch(OLD, 7, 0, tuple(map(key, running)), (deaths,) * len(running)),) if running else ()
    return stage.handle(ExecutorReported(executor, batches, tuple(map(key, kept))))


def test_without_instances_nobody_is_waited_for() -> None:
    stage = Stage(epoch=NEW)
    stage.handle(AdoptionBegan())
    assert not stage.core.is_adopting


def test_nothing_is_sent_or_answered_before_every_executor_has_reported() -> None:
    stage = new_owner(executors=2)
    assert stage.arrive(1, 2) == []
    assert stage.handle(ReconcileAsked("s", (1, 9))) == []
    assert report(stage, "e0") == []
    assert report(stage, "e1") == [
        batch(1, "instance idle", [1, 2], executor="e0"),
        Tell("s", ReconcileReply(V1, NEW, (9,), ())),
    ]


def test_executors_are_waited_for_a_second_at_most() -> None:
    stage = new_owner()
    stage.arrive(1)
    assert stage.wait(1 * S - 1) == []
    assert stage.wait(1) == [batch(1, "instance idle", [1], executor="e0", queue_us=1_000_000)]


def test_an_executor_that_dies_is_not_waited_for() -> None:
    stage = new_owner(executors=2)
    stage.arrive(1)
    report(stage, "e1")
    assert stage.gone(executor="e0") == [batch(1, "instance idle", [1], executor="e1")]


def test_a_running_batch_is_adopted_and_keeps_its_instance_busy_until_it_is_done() -> None:
    stage = new_owner()
    stage.arrive(1, 2)
    stage.handle(ReconcileAsked("s", (1, 2)))
    assert report(stage, "e0", 1) == [Tell("s", NOTHING)]
    assert stage.done(7, executor="e0", epoch=OLD) == [closed(1), batch(1, "instance idle", [2], executor="e0")]


def test_what_executors_keep_is_answered_again_and_not_executed_again() -> None:
    stage = new_owner()
    stage.arrive(1)
    stage.handle(ReconcileAsked("s", (2,)))
    assert report(stage, "e0", kept=(1, 2)) == [
        Tell("e0", Resend(V1, "s", 1)),
        Tell("e0", Resend(V1, "s", 2)),
        Tell("s", NOTHING),
    ]


def test_a_batch_done_before_its_report_is_only_known_as_kept() -> None:
    stage = new_owner()
    assert stage.done(7, executor="e0", epoch=OLD) == []
    report(stage, "e0", kept=(1,))
    assert stage.arrive(1) == [Tell("e0", Resend(V1, "s", 1))]


def test_requests_of_an_adopted_batch_that_dies_are_sent_again_by_their_submitters() -> None:
    stage = new_owner()
    report(stage, "e0", 1, 2)
    assert stage.gone(executor="e0") == [Tell("s", ReconcileReply(V1, NEW, (1, 2), ()))]
    assert stage.core.open_count == 0


def test_an_execution_of_an_adopted_batch_that_died_counts_as_a_try() -> None:
    stage = new_owner()
    report(stage, "e0", 1)
    stage.gone(executor="e0")
    stage.ready(executor="e1")
    assert stage.deaths == {1: ("signal 9",)}
    assert stage.arrive(1, deaths=stage.deaths[1]) == [alone(1, 1, executor="e1")]
    (refused,) = stage.gone(executor="e1", cause="signal 11")
    assert isinstance(refused, Refuse)
    assert "twice (first: signal 9; then: signal 11)" in refused.error[1]


def test_an_adopted_batch_that_was_not_started_when_its_executor_ended_is_no_try() -> None:
    stage = new_owner()
    report(stage, "e0", 1)
    assert stage.gone(executor="e0", executing=()) == [Tell("s", ReconcileReply(V1, NEW, (1,), ()))]
    stage.ready(executor="e1")
    assert stage.arrive(1) == [batch(1, "instance idle", [1], executor="e1")]


def test_a_death_before_the_takeover_and_one_after_it_are_two() -> None:
    stage = new_owner()
    report(stage, "e0", 1, deaths=1)
    text = (
        "model 'm' version 1: the executor ended during the execution of this request, twice (first: an executor ended "
        "before the scheduler was replaced; then: signal 11); it is not tried again"
    )
    assert stage.gone("e0", "signal 11") == [refusal(1, Code.UNAVAILABLE, text, queue_ns=1, executed=True)]
    assert stage.core.open_count == 0


def test_a_death_before_the_takeover_is_not_forgotten_when_its_second_try_was_lost() -> None:
    stage = new_owner()
    report(stage, "e0", 1, deaths=1)
    assert stage.handle(BatchesLost("e0", OLD, (7,))) == [Tell("s", ReconcileReply(V1, NEW, (1,), ()))]
    stage.wait(50 * MS)
    assert stage.arrive(1, deaths=stage.deaths[1]) == [alone(1, 1, executor="e0")]


def test_a_request_that_died_and_waited_when_its_scheduler_was_replaced_is_executed_once_more_only() -> None:
    stage = new_owner()
    report(stage, "e0")
    assert stage.arrive(1, deaths=("signal 9",)) == [alone(1, 1, executor="e0")]
    (refused,) = stage.gone(executor="e0", cause="signal 11")
    assert isinstance(refused, Refuse)
    assert "twice (first: signal 9; then: signal 11)" in refused.error[1]


def test_a_suspect_that_is_adopted_stays_alone() -> None:
    stage = new_owner()
    stage.ready(1, executor="e0")
    stage.arrive(2)
    assert report(stage, "e0", 1, deaths=1) == []
    assert stage.arrive(3) == []
    assert stage.done(7, executor="e0", epoch=OLD) == [
        closed(1),
        batch(1, "instance idle", [2, 3], executor="e0"),
    ]


def test_a_batch_of_an_executor_that_no_agent_told_us_of_ends_with_it() -> None:
    stage = new_owner(executors=0)
    report(stage, "e0", 1)
    assert stage.handle(ExecutorGone("e0", "it left", ())) == [Tell("s", ReconcileReply(V1, NEW, (1,), ()))]
    assert stage.core.open_count == 0


def test_what_an_adopted_batch_is_executing_is_not_tried_a_second_time_beside_it() -> None:
    stage = new_owner(executors=2)
    stage.wait(1 * S)
    assert stage.arrive(1) == [batch(1, "instance idle", [1], executor="e0")]
    report(stage, "e1", 1)
    assert stage.gone(executor="e0") == []
    assert stage.done(7, executor="e1", epoch=OLD) == [closed(1)]
    assert stage.core.open_count == 0


def test_requests_that_have_to_be_sent_again_are_named_in_their_submitters_order() -> None:
    stage = new_owner()
    stage.handle(ReconcileAsked("s", (3, 1, 2)))
    stage.handle(ReconcileAsked("s", (3, 1, 2, 4)))
    assert report(stage, "e0", 1) == [Tell("s", ReconcileReply(V1, NEW, (3, 2, 4), ()))]
    assert stage.arrive(3, 2, 4) == []
    assert stage.done(7, executor="e0", epoch=OLD) == [
        closed(1),
        batch(1, "instance idle", [3, 2, 4], executor="e0"),
    ]


def test_a_late_report_takes_over_what_was_queued_meanwhile() -> None:
    stage = new_owner()
    stage.wait(1 * S)
    stage.arrive(5)
    stage.arrive(1, 2, 3)
    assert report(stage, "e0", 1, kept=(2,)) == [Tell("e0", Resend(V1, "s", 2))]
    assert stage.done(1, executor="e0", epoch=NEW) == []
    assert stage.done(7, executor="e0", epoch=OLD) == [closed(1), batch(2, "instance idle", [3], executor="e0")]


def test_an_instance_that_becomes_ready_after_its_executors_report_is_busy() -> None:
    stage = new_owner(executors=0)
    report(stage, "e0", 1)
    assert stage.ready(executor="e0") == []
    assert stage.arrive(2) == []
    assert stage.done(7, executor="e0", epoch=OLD) == [closed(1), batch(1, "instance idle", [2], executor="e0")]


def test_a_report_that_is_slower_than_the_news_of_its_executors_end_is_given_up_with_it() -> None:
    stage = new_owner(executors=2)
    stage.gone(executor="e0")
    assert report(stage, "e0", 1) == [Tell("s", ReconcileReply(V1, NEW, (1,), ()))]
    assert stage.core.open_count == 0


def test_each_submitters_requests_are_queued_in_the_order_in_which_it_made_them() -> None:
    stage = new_owner()
    for submitter, counter in (("s", 3), ("t", 9), ("s", 1), ("t", 8), ("s", 2)):
        stage.handle(RequestsArrived((arrival(counter, submitter=submitter),)))
    (sent,) = report(stage, "e0")
    assert isinstance(sent, Dispatch)
    assert [item.key for item in sent.items] == [("s", 1), ("t", 8), ("s", 2), ("t", 9), ("s", 3)]


def test_a_request_that_waited_for_the_view_is_not_refused_when_it_turns_out_to_be_running() -> None:
    stage = new_owner()
    stage.wait(1 * S)
    assert stage.arrive(1, model="nobody") == []
    report(stage, "e0", 1)
    assert stage.wait(2 * S) == []


def test_what_is_closing_is_answered_when_the_executors_have_reported() -> None:
    stage = new_owner()
    assert stage.handle(ReconcileAsked("s", (4,), (1, 2, 3))) == []
    assert report(stage, "e0", 1, kept=(2,)) == [closed(2, 3), Tell("s", ReconcileReply(V1, NEW, (4,), ()))]


def test_an_executor_that_has_not_reported_may_still_read_what_is_closing() -> None:
    stage = new_owner()
    stage.wait(1 * S)
    assert stage.handle(ReconcileAsked("s", (), (1,))) == [Tell("s", NOTHING)]
    report(stage, "e0")
    assert stage.handle(ReconcileAsked("s", (), (1,))) == [closed(1), Tell("s", NOTHING)]


def test_an_executor_that_never_reports_does_not_keep_memory_for_ever() -> None:
    stage = new_owner()
    stage.wait(61 * S)
    assert stage.handle(ReconcileAsked("s", (), (1,))) == [closed(1), Tell("s", NOTHING)]


def test_a_request_whose_answer_is_kept_is_closed_when_it_was_sent_again() -> None:
    stage = new_owner()
    stage.wait(1 * S)
    stage.arrive(1)
    stage.arrive(2, inputs=(in_arena(),))
    assert report(stage, "e0", kept=(2,)) == [Tell("e0", Resend(V1, "s", 2)), closed(2)]
    assert stage.arrive(2, inputs=(in_arena(),)) == [Tell("e0", Resend(V1, "s", 2)), closed(2)]


def test_a_fault_while_adopting_does_not_keep_it_from_ending() -> None:
    stage = new_owner()
    stage.arrive(1)
    with pytest.raises(TypeError):
        stage.handle(ExecutorReported("e0", (None,), ()))  # type: ignore[arg-type]
    assert stage.wait(1 * S) == [batch(1, "instance idle", [1], executor="e0", queue_us=1_000_000)]


def test_an_event_that_cannot_be_dealt_with_is_told_and_the_next_one_is() -> None:
    core = SchedulerCore(NEW, "own", count(1))
    (fault,) = core.handle(ModelConfigured("m", "g", {1: None}), 0)  # type: ignore[dict-item]
    assert isinstance(fault, Fault)
    assert fault.event == "ModelConfigured"
    core.handle(AdoptionBegan(), 0)
    assert not core.is_adopting


def test_a_second_report_of_the_same_batch_changes_nothing() -> None:
    stage = new_owner()
    report(stage, "e0", 1)
    report(stage, "e0", 1)
    stage.done(7, executor="e0", epoch=OLD)
    assert stage.arrive(2) == [batch(1, "instance idle", [2], executor="e0")]


def test_adopted_batches_are_asked_after_under_their_own_epoch() -> None:
    stage = new_owner()
    report(stage, "e0", 1)
    asked = Tell("e0", BatchQuery(V1, OLD, (7,)))
    assert stage.handle(LinkChanged("e0")) == [asked]
    assert stage.wait(5 * S) == [asked]


def test_collected_requests_can_be_cancelled() -> None:
    stage = new_owner()
    stage.arrive(1)
    assert stage.handle(CancelRequested("s", (1,))) == [refusal(1, Code.CANCELLED, "")]
    assert report(stage, "e0") == []


def test_a_request_cancelled_before_its_executor_reported_is_cancelled_there() -> None:
    stage = new_owner()
    assert stage.handle(CancelRequested("s", (1, 4))) == []
    assert report(stage, "e0", 1, 2) == [Tell("e0", Cancel(V1, "s", (1,)))]


def test_requests_of_a_submitter_that_left_are_forgotten() -> None:
    stage = new_owner()
    stage.arrive(1)
    stage.handle(ReconcileAsked("s", (1,)))
    assert stage.handle(SubmitterLeft("s")) == []
    assert report(stage, "e0") == []


def test_a_second_copy_is_collected_once() -> None:
    stage = new_owner()
    stage.arrive(1, 1)
    stage.arrive(1)
    assert report(stage, "e0") == [batch(1, "instance idle", [1], executor="e0")]


def test_a_higher_epoch_without_an_owner_in_between_keeps_everything() -> None:
    stage = Stage(config(), epoch=OLD)
    stage.arrive(1, 2)
    assert stage.handle(OwnershipRenewed(NEW)) == [Tell("e", BatchQuery(V1, OLD, (1,)))]
    assert stage.core.epoch == NEW
    assert stage.handle(ExecutorReported("e", (RunningBatch(OLD, 1, 0, (key(1),), (0,)),), ())) == []
    assert stage.done(1, epoch=OLD) == [batch(2, "instance idle", [2])]
    stage.pass_ns(1 * MS)
    assert stage.done(2, epoch=NEW) == []
    assert stage.core.open_count == 0
