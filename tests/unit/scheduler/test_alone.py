"""Suspects: requests that were executing when their executor ended."""

from __future__ import annotations

from scheduler_stage import MS, S, Stage, alone, batch, config, dynamic, refusal
from shoal.core.errors import Code
from shoal.core.messages import V1, BatchQuery, ReconcileReply
from shoal.core.model_config import ModelConfig
from shoal.scheduler.actions import Action, Dispatch, Refuse, Tell
from shoal.scheduler.events import (
    BatchesLost,
    CancelRequested,
    InstanceDraining,
    InstanceReady,
    ModelConfigured,
    ReconcileAsked,
)

OTHER = "n"


def shared(*executors: str, model: ModelConfig | None = None) -> Stage:
    """Executor `x` has an instance of model `m`, each of the others one of `m` (slot 0) and one of `n` (slot 1)."""
    stage = Stage(model or config(), executors=("x",))
    stage.handle(ModelConfigured(OTHER, "g", {1: config(name=OTHER)}))
    for executor in executors:
        add(stage, executor)
    return stage


def add(stage: Stage, executor: str) -> list[Action]:
    return stage.ready(0, executor) + stage.handle(InstanceReady(OTHER, 1, "g", executor, 1, "n_0_0"))


def arrive_other(stage: Stage, *counters: int) -> list[Action]:
    return stage.arrive(*counters, model=OTHER)


def other(batch_id: int, counter: int, *, executor: str = "e", queue_us: int = 0) -> Dispatch:
    """A batch of model `n`."""
    return batch(batch_id, "instance idle", [counter], slot=1, executor=executor, queue_us=queue_us)


def without_questions(actions: list[Action]) -> list[Action]:
    """What is done, except for asking after batches that have been open for long."""
    return [found for found in actions if not (isinstance(found, Tell) and isinstance(found.message, BatchQuery))]


def test_every_member_of_a_batch_that_died_runs_alone_whatever_the_batcher_wants() -> None:
    stage = Stage(dynamic())
    stage.arrive(1)
    stage.arrive(2, 3)
    stage.done(1)
    stage.gone()
    assert stage.arrive(4, 5) == []
    assert stage.ready(executor="e2") == [alone(3, 2, executor="e2")]
    assert stage.done(3, "e2") == [alone(4, 3, executor="e2")]
    assert stage.done(4, "e2") == [batch(5, "instance idle", [4, 5], executor="e2")]


def test_a_poisonous_request_fails_alone() -> None:
    stage = Stage(dynamic())
    stage.arrive(1, 2, 3)
    stage.gone()
    assert stage.ready(executor="e2") == [alone(2, 1, executor="e2")]
    assert stage.done(2, "e2") == [alone(3, 2, executor="e2")]
    (refused,) = stage.gone("e2", "signal 11")
    assert isinstance(refused, Refuse)
    assert refused.key == ("s", 2)
    assert stage.ready(executor="e3") == [alone(4, 3, executor="e3")]
    assert stage.done(4, "e3") == []
    assert stage.core.open_count == 0


def test_nothing_is_sent_to_the_executor_of_a_suspect_before_it_is_done() -> None:
    stage = shared("e")
    stage.arrive(1)
    assert stage.gone("x") == [alone(2, 1)]
    assert arrive_other(stage, 7) == []
    assert stage.done(2) == [other(3, 7)]


def test_an_executor_that_executes_something_is_drained_first() -> None:
    stage = shared("e")
    stage.arrive(1)
    assert arrive_other(stage, 7, 8) == [other(2, 7)]
    assert stage.gone("x") == []
    assert stage.arrive(2) == []
    assert stage.done(2) == [alone(3, 1)]
    assert stage.done(3) == [batch(4, "instance idle", [2]), other(5, 8)]


def test_other_executors_go_on_with_the_innocent() -> None:
    stage = shared("e", "e2")
    stage.arrive(1)
    arrive_other(stage, 7, 8, 9)
    assert stage.gone("x") == []
    assert stage.done(3, "e2") == [alone(4, 1, executor="e2")]
    assert stage.done(2) == [other(5, 9)]
    assert stage.arrive(2) == [batch(6, "instance idle", [2])]


def test_a_free_executor_is_taken_instead_of_one_that_drains() -> None:
    stage = Stage(config(), executors=("e", "e2", "e3"))
    stage.arrive(1, 2, 3)
    assert stage.gone("e") == []
    assert stage.done(3, "e3") == [alone(4, 1, executor="e3")]
    assert stage.arrive(5) == []
    assert stage.done(2, "e2") == [batch(5, "instance idle", [5], executor="e2")]


def test_suspects_are_spread_but_one_executor_is_left_to_the_innocent() -> None:
    stage = Stage(dynamic(), executors=("e", "e2", "e3", "e4"))
    stage.arrive(1, 2, 3, 4)
    assert stage.gone("e") == [alone(2, 1, executor="e2"), alone(3, 2, executor="e3")]
    assert stage.arrive(9) == [batch(4, "instance idle", [9], executor="e4")]
    assert stage.done(3, "e3") == [alone(5, 3, executor="e3")]
    assert stage.done(2, "e2") == [alone(6, 4, executor="e2")]


def test_with_one_executor_the_others_wait_for_the_suspects() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1, 2)
    stage.gone()
    assert stage.ready(0, "e2") == [alone(3, 1, executor="e2")]
    assert stage.ready(1, "e2") == []
    assert stage.arrive(3) == []
    assert stage.done(3, "e2") == [alone(4, 2, executor="e2")]
    assert stage.done(4, "e2") == [batch(5, "instance idle", [3], executor="e2")]


def test_versions_take_turns_on_an_executor_that_they_share() -> None:
    stage = Stage(dynamic())
    stage.handle(ModelConfigured(OTHER, "g", {1: dynamic(name=OTHER)}))
    add(stage, "e")
    stage.arrive(1, 2)
    arrive_other(stage, 7, 8)
    stage.gone("e")
    assert add(stage, "e2") == [alone(3, 1, executor="e2")]
    assert stage.done(3, "e2") == [alone(4, 7, slot=1, executor="e2")]
    assert stage.done(4, "e2") == [alone(5, 2, executor="e2")]
    assert stage.done(5, "e2") == [alone(6, 8, slot=1, executor="e2")]


def test_with_preserve_ordering_nothing_overtakes_a_suspect() -> None:
    stage = Stage(dynamic(preserve_ordering=True), executors=("e", "e2", "e3"))
    stage.arrive(1, 2)
    stage.arrive(3)
    assert stage.gone() == [alone(2, 1, executor="e2")]
    assert stage.done(2, "e2") == [alone(3, 2, executor="e2")]
    assert stage.done(3, "e2") == [batch(4, "instance idle", [3], executor="e3")]


def test_with_preserve_ordering_others_wait_until_the_suspects_have_their_executor() -> None:
    stage = shared("e", "e2", model=dynamic(preserve_ordering=True))
    stage.arrive(1)
    arrive_other(stage, 7, 8)
    stage.gone("x")
    assert stage.arrive(2) == []
    assert stage.done(3, "e2") == [alone(4, 1, executor="e2")]


def test_with_preserve_ordering_others_go_on_when_the_last_suspect_has_left() -> None:
    stage = Stage(dynamic(preserve_ordering=True), executors=("e",))
    stage.arrive(1, deadline_us=5000)
    stage.gone()
    stage.arrive(2)
    stage.wait(5 * MS)
    assert stage.ready(executor="e2") == [batch(2, "instance idle", [2], executor="e2", queue_us=5000)]


def test_a_suspect_that_was_lost_on_its_way_is_sent_again_alone() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.gone()
    stage.ready(executor="e2")
    assert stage.handle(BatchesLost("e2", 1, (2,))) == []
    assert stage.wait(50 * MS) == [alone(3, 1, executor="e2", queue_us=50_000)]


def test_an_executor_that_drains_for_a_suspect_serves_again_when_that_is_cancelled() -> None:
    stage = shared("e")
    stage.arrive(1)
    arrive_other(stage, 7)
    stage.gone("x")
    stage.handle(InstanceReady(OTHER, 1, "g", "e", 2, "n_0_1"))
    assert arrive_other(stage, 8) == []
    assert stage.handle(CancelRequested("s", (1,))) == [
        refusal(1, Code.CANCELLED, "", queue_ns=1, executed=True),
        batch(3, "instance idle", [8], slot=2),
    ]


def test_an_executor_that_drains_for_a_suspect_serves_again_at_its_deadline() -> None:
    stage = shared("e")
    stage.arrive(1, deadline_us=5000)
    arrive_other(stage, 7)
    stage.gone("x")
    stage.arrive(2)
    refused, sent = stage.wait(5 * MS)
    assert isinstance(refused, Refuse)
    assert "its execution ended with its executor: signal 9" in refused.error[1]
    assert sent == batch(3, "instance idle", [2], queue_us=5000)


STUCK = (
    "model 'm' version 1: this request could not be tried again alone (signal 9), since other executions did not end "
    "within 10 s; give models an execution_timeout"
)
REFUSED = refusal(1, Code.UNAVAILABLE, STUCK, queue_ns=10 * S, executed=True)


def blocked(*executors: str) -> Stage:
    """Suspect 1 of model `m` waits, while executions of `n` keep each of these executors busy: batches 2, 3, ..."""
    stage = shared(*executors)
    stage.arrive(1)
    arrive_other(stage, *range(70, 70 + len(executors)))
    assert stage.gone("x") == []
    return stage


def test_a_drain_that_does_not_end_is_given_up_and_the_suspect_is_refused() -> None:
    stage = blocked("e")
    assert stage.arrive(2) == []
    assert without_questions(stage.wait(10 * S - 1)) == []
    served_again = batch(3, "instance idle", [2], queue_us=10_000_000)
    assert without_questions(stage.wait(1)) == [REFUSED, served_again]


def test_another_executor_is_tried_before_a_suspect_is_refused() -> None:
    stage = blocked("e", "e2")
    assert without_questions(stage.wait(10 * S)) == []
    assert stage.arrive(2) == [batch(4, "instance idle", [2])]
    assert stage.done(3, "e2") == [alone(5, 1, executor="e2", queue_us=10_000_000)]


def test_an_executor_that_was_given_up_is_drained_again_when_it_is_not_stuck_any_more() -> None:
    stage = blocked("e")
    stage.wait(10 * S)
    assert stage.done(2) == []
    stage.ready(0, "x2")
    stage.arrive(3, 4)
    assert stage.gone("x2") == []
    assert stage.done(3) == [alone(5, 4)]


def test_a_new_suspect_is_refused_at_once_while_all_executors_are_stuck() -> None:
    stage = blocked("e")
    stage.wait(10 * S)
    stage.handle(InstanceDraining("e", 0))
    stage.ready(0, "x2")
    stage.arrive(3)
    stage.ready(2, "e")
    assert stage.gone("x2") == [REFUSED._replace(key=("s", 3), queue_ns=1)]


def test_an_executor_with_one_instance_is_waited_for_as_by_any_other_request() -> None:
    stage = Stage(config(), executors=("e", "e2"))
    stage.arrive(1, 2)
    stage.gone("e")
    assert without_questions(stage.wait(60 * S)) == []
    assert stage.done(2, "e2") == [alone(3, 1, executor="e2", queue_us=60_000_000)]


def test_a_suspect_waits_for_an_instance_as_long_as_others_do() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.gone()
    text = "Request for unknown model: 'm' version 1 is not at ready state; no instance became ready within 10 s"
    assert stage.wait(10 * S) == [refusal(1, Code.UNAVAILABLE, text, queue_ns=10 * S, executed=True)]


def test_a_waiting_suspect_is_in_our_hands() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.gone()
    assert stage.handle(ReconcileAsked("s", (1,), (1,))) == [Tell("s", ReconcileReply(V1, 1, (), ()))]
    assert stage.arrive(1) == []
    assert stage.core.open_count == 1
