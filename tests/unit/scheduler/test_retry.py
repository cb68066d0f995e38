"""Requests whose executor ended while it was executing them."""

from __future__ import annotations

from scheduler_stage import MS, Stage, batch, config, dynamic, entry, key, refusal
from shoal.core.errors import Code
from shoal.core.messages import V1, Cancel, Stale
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import CancelRequested, ExecutorGone, InstanceDraining, ModelConfigured
from shoal.scheduler.retry import Deaths

TWICE = (
    "model 'm' version 1: the executor ended during the execution of this request, twice "
    "(first: signal 9; then: signal 11); it is not tried again"
)


def test_what_was_executing_is_tried_again_before_everything_that_waits() -> None:
    stage = Stage(dynamic(max_batch_size=2))
    stage.arrive(1, 2, 3)
    stage.pass_ns(1 * MS)
    assert stage.gone() == []
    assert stage.ready(executor="e2") == [batch(2, "full", [1, 2], executor="e2", queue_us=1000)]


def test_another_idle_instance_takes_over_at_once() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1)
    assert stage.gone(0) == [batch(2, "instance idle", [1], slot=1)]


def test_the_second_time_it_is_refused_naming_model_and_causes() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1)
    stage.gone(0)
    stage.pass_ns(2 * MS)
    refused = refusal(1, Code.UNAVAILABLE, TWICE, queue_ns=2 * MS, executed=True)
    assert stage.gone(1, cause="signal 11") == [refused]
    assert stage.core.open_count == 0


def test_a_request_that_only_waited_has_not_used_up_its_second_try() -> None:
    stage = Stage(config(), instances=1)
    stage.arrive(1, 2)
    stage.gone()
    assert stage.ready(executor="e2") == [batch(2, "instance idle", [1], executor="e2")]
    stage.done(2, executor="e2")
    assert stage.gone(executor="e2", cause="signal 11") == []
    assert stage.ready(executor="e3") == [batch(4, "instance idle", [2], executor="e3")]


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
    assert stage.arrive(1, generation="g2", attempt=2) == [batch(2, "instance idle", [1], executor="e2")]
    refused = refusal(1, Code.UNAVAILABLE, TWICE, queue_ns=1, executed=True)
    assert stage.gone(executor="e2", cause="signal 11") == [refused]


def test_what_a_believed_dead_batch_answered_is_not_tried_again_by_its_second_one() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1)
    assert stage.gone(0) == [batch(2, "instance idle", [1], slot=1)]
    stage.done(1)
    stage.ready(executor="e2")
    assert stage.gone(1) == []
    assert stage.core.open_count == 0


def test_the_memory_of_deaths_is_bounded() -> None:
    deaths = Deaths()
    deaths.remember([key(counter) for counter in range(5000)], ("signal 9",))
    assert deaths.restore(entry(1)).deaths == ()
    assert deaths.restore(entry(4999)).deaths == ("signal 9",)
    assert deaths.restore(entry(4999)).deaths == ()


def test_a_batch_whose_instance_was_unloaded_is_tried_again_when_its_executor_ends() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.handle(InstanceDraining("e", 0))
    stage.ready(executor="e2")
    assert stage.handle(ExecutorGone("e", "it left")) == [batch(2, "instance idle", [1], executor="e2")]
