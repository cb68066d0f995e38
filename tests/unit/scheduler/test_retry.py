"""Requests whose batch did not finish."""

from __future__ import annotations

from scheduler_stage import MS, S, Stage, alone, batch, config, dynamic, refusal
from shoal.core.errors import Code
from shoal.core.messages import V1, BatchQuery, Cancel, ReconcileReply, Stale
from shoal.scheduler.actions import Action, Tell
from shoal.scheduler.events import BatchesLost, CancelRequested, InstanceDraining, ModelConfigured, ModelRemoved

TWICE = (
    "model 'm' version 1: the executor ended during the execution of this request, twice "
    "(first: signal 9; then: signal 11); it is not tried again"
)
REFUSED_TWICE = refusal(1, Code.UNAVAILABLE, TWICE, queue_ns=1, executed=True)


def test_what_was_executing_is_tried_again_before_everything_that_waits() -> None:
    stage = Stage(dynamic(max_batch_size=2))
    stage.arrive(1, 2, 3)
    stage.pass_ns(1 * MS)
    assert stage.gone() == []
    assert stage.deaths == {1: ("signal 9",), 2: ("signal 9",)}
    assert stage.ready(executor="e2") == [alone(2, 1, executor="e2", queue_us=1000)]


def test_another_idle_executor_takes_over_at_once() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1)
    assert stage.gone() == [alone(2, 1, executor="e2")]


def test_the_second_time_it_is_refused_naming_model_and_causes() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1)
    stage.gone()
    stage.pass_ns(2 * MS)
    refused = REFUSED_TWICE._replace(queue_ns=2 * MS)
    assert stage.gone("e2", cause="signal 11") == [refused]
    assert stage.core.open_count == 0


def test_what_was_executing_on_a_decoupled_model_goes_back_to_who_knows_whether_it_was_answered_in_part() -> None:
    stage = Stage(config(model_transaction_policy={"decoupled": True}), executors=("e", "e2"))
    stage.arrive(1)
    assert stage.gone(executing=((1, 1),)) == [Tell("s", ReconcileReply(V1, 1, (1,), ()))]
    assert stage.deaths == {1: ("signal 9",)}
    assert stage.core.open_count == 0


def test_what_had_not_started_on_a_decoupled_model_is_sent_to_another_executor() -> None:
    stage = Stage(config(model_transaction_policy={"decoupled": True}), executors=("e", "e2"))
    stage.arrive(1)
    assert stage.gone(executing=()) == [batch(2, "instance idle", [1], executor="e2")]


def test_a_request_that_only_waited_has_not_used_up_its_second_try() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.gone()
    assert stage.ready(executor="e2") == [alone(2, 1, executor="e2")]
    assert stage.done(2, executor="e2") == [batch(3, "instance idle", [2], executor="e2")]
    assert stage.gone("e2", cause="signal 11") == []
    assert stage.ready(executor="e3") == [alone(4, 2, executor="e3")]


def test_a_batch_that_had_not_started_when_its_executor_ended_is_no_try() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1, 2)
    assert stage.gone(executing=((1, 1),)) == []
    assert stage.deaths == {1: ("signal 9",)}
    stage.ready(executor="e2")
    assert stage.gone("e2", cause="signal 11", executing=((1, 3),)) == [REFUSED_TWICE]
    assert stage.ready(executor="e3") == [batch(4, "instance idle", [2], executor="e3")]


def test_when_nobody_knows_what_was_executing_all_of_it_was() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1, 2)
    stage.gone(executing=None)
    stage.ready(executor="e2")
    stage.gone("e2", executing=None, cause="signal 11")
    assert stage.ready(executor="e3") == [alone(4, 2, executor="e3")]


def test_what_never_starts_is_refused_when_three_executors_have_ended_under_it() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.gone(executing=())
    assert stage.ready(executor="e2") == [batch(2, "instance idle", [1], executor="e2")]
    stage.gone("e2", executing=())
    assert stage.ready(executor="e3") == [alone(3, 1, executor="e3", deaths=0)]
    text = (
        "model 'm' version 1: the request was sent to executors 3 times and never started (the last time: signal 11); "
        "it is not tried again"
    )
    assert stage.gone("e3", "signal 11", executing=()) == [refusal(1, Code.UNAVAILABLE, text, queue_ns=1)]


def lose_unnoticed(stage: Stage, batch_id: int) -> list[Action]:
    """A batch is lost, and found out when it has been open for long; what follows after the instance has rested."""
    assert stage.wait(5 * S) == [Tell("e", BatchQuery(V1, 1, (batch_id,)))]
    return stage.handle(BatchesLost("e", 1, (batch_id,))) + stage.wait(50 * MS)


def test_a_batch_that_is_not_understood_is_not_sent_for_ever_and_its_poison_fails_alone() -> None:
    stage = Stage(dynamic())
    stage.arrive(1, 2)
    assert lose_unnoticed(stage, 1) == [batch(2, "instance idle", [1, 2], queue_us=5_050_000)]
    assert lose_unnoticed(stage, 2) == [alone(3, 1, queue_us=10_100_000, deaths=0)]
    text = (
        "model 'm' version 1: the request was sent to executors 3 times and never started (the last time: it did not "
        "arrive at e, or was not understood there: are all processes of one release?); it is not tried again"
    )
    refused = refusal(1, Code.UNAVAILABLE, text, queue_ns=15_100 * MS)
    assert lose_unnoticed(stage, 3) == [refused, alone(4, 2, queue_us=15_150_000, deaths=0)]
    assert stage.done(4) == []
    assert stage.core.open_count == 0


def test_a_cancelled_request_is_not_tried_again() -> None:
    stage = Stage(config())
    stage.arrive(1)
    assert stage.handle(CancelRequested("s", (1,))) == [Tell("e", Cancel(V1, "s", (1,)))]
    assert stage.gone() == [refusal(1, Code.CANCELLED, "", queue_ns=1)]
    assert stage.core.open_count == 0


def test_a_batch_that_is_done_after_all_takes_its_requests_out_of_the_queue() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.gone()
    assert stage.done(1) == []
    assert stage.ready(executor="e2") == []
    assert stage.core.open_count == 0


def test_a_deadline_that_passes_before_the_second_try_says_that_it_was_executing() -> None:
    stage = Stage(config())
    stage.arrive(1, deadline_us=1000)
    stage.gone()
    text = (
        "deadline of 1 ms passed after 1 ms in the queue of 'm' (0 executions ahead); "
        "its execution ended with its executor: signal 9"
    )
    assert stage.wait(1 * MS) == [refusal(1, Code.UNAVAILABLE, text, queue_ns=1 * MS, executed=True)]


def test_a_try_that_was_used_up_stays_used_up_when_the_generation_is_replaced() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    assert stage.gone() == [Tell("s", Stale(V1, (1,)))]
    stage.ready(generation="g2", executor="e2")
    assert stage.arrive(1, generation="g2", deaths=stage.deaths[1]) == [alone(2, 1, executor="e2")]
    assert stage.gone("e2", cause="signal 11") == [REFUSED_TWICE]


def test_the_second_death_is_the_last_also_when_the_model_was_removed_meanwhile() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1)
    stage.gone()
    stage.handle(ModelRemoved("m"))
    assert stage.gone("e2", cause="signal 11") == [REFUSED_TWICE]


def test_what_a_believed_dead_batch_answered_is_not_tried_again_by_its_second_one() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1)
    assert stage.gone() == [alone(2, 1, executor="e2")]
    stage.done(1)
    stage.ready(executor="e3")
    assert stage.gone("e2") == []
    assert stage.core.open_count == 0


def test_a_batch_whose_instance_was_unloaded_is_tried_again_when_its_executor_ends() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.handle(InstanceDraining("e", 0))
    stage.ready(executor="e2")
    assert stage.gone("e", "it left") == [alone(2, 1, executor="e2")]
