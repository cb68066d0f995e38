from __future__ import annotations

from scheduler_stage import S, Stage, arrival, config, refusal
from shoal.core.errors import Code
from shoal.core.messages import V1, ReconcileReply, Resend
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import ExecutorGone, InstanceDraining, ReconcileAsked, RequestsArrived


def test_waiting_running_and_awaited_requests_are_in_our_hands() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.arrive(3, model="newer than the view")
    assert stage.handle(ReconcileAsked("s", (1, 2, 3))) == [Tell("s", ReconcileReply(V1, 1, (), ()))]


def test_unknown_requests_are_listed_to_be_sent_again() -> None:
    stage = Stage(config())
    stage.arrive(1)
    assert stage.handle(ReconcileAsked("s", (1, 8, 9))) == [Tell("s", ReconcileReply(V1, 1, (8, 9), ()))]


def test_counters_of_another_submitter_are_another_submitters() -> None:
    stage = Stage(config())
    stage.handle(RequestsArrived((arrival(1, submitter="other"),)))
    assert stage.handle(ReconcileAsked("s", (1,))) == [Tell("s", ReconcileReply(V1, 1, (1,), ()))]


def test_a_finished_request_is_answered_again_by_its_executor() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1)
    stage.done(1)
    asked = stage.handle(ReconcileAsked("s", (1,)))
    assert asked == [Tell("e", Resend(V1, "s", 1)), Tell("s", ReconcileReply(V1, 1, (), ()))]


def test_the_answer_of_a_dead_executor_is_lost() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.done(1)
    stage.gone()
    assert stage.handle(ReconcileAsked("s", (1,))) == [Tell("s", ReconcileReply(V1, 1, (), (1,)))]


def test_submitters_are_told_at_once_what_a_decoupled_model_can_answer_no_more() -> None:
    stage = Stage(config(model_transaction_policy={"decoupled": True}))
    stage.arrive(1)
    stage.arrive(2, submitter="t")
    stage.done(1)
    stage.done(2)
    assert stage.gone(executing=()) == [
        Tell("s", ReconcileReply(V1, 1, (), (1,))),
        Tell("t", ReconcileReply(V1, 1, (), (2,))),
    ]


def test_an_executor_that_lost_only_one_instance_still_answers() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1)
    stage.done(1)
    stage.handle(InstanceDraining("e", 1))
    assert Tell("e", Resend(V1, "s", 1)) in stage.handle(ReconcileAsked("s", (1,)))


def test_a_finished_request_is_lost_with_an_executor_that_ended_after_its_instance_was_unloaded() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.done(1)
    stage.handle(InstanceDraining("e", 0))
    stage.handle(ExecutorGone("e", "it left", ()))
    assert stage.handle(ReconcileAsked("s", (1,))) == [Tell("s", ReconcileReply(V1, 1, (), (1,)))]


def test_an_answer_that_never_arrives_is_not_sent_for_ever() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.done(1)
    for _ in range(20):
        assert Tell("e", Resend(V1, "s", 1)) in stage.handle(ReconcileAsked("s", (1,)))
        stage.wait(1 * S)
    text = (
        "the request was executed, but its answer was sent again for 20 s and did not arrive, or was not understood; "
        "are all processes of one release?"
    )
    assert stage.handle(ReconcileAsked("s", (1,))) == [
        refusal(1, Code.UNAVAILABLE, text, queue_ns=1, executed=True),
        Tell("s", ReconcileReply(V1, 1, (), (1,))),
        Tell("s", ReconcileReply(V1, 1, (), ())),
    ]


def test_an_executor_that_was_taken_for_dead_and_is_back_answers_again() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.done(1)
    stage.gone()
    stage.ready()
    assert stage.handle(ReconcileAsked("s", (1,)))[0] == Tell("e", Resend(V1, "s", 1))
