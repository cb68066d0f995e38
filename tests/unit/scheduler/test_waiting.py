"""Requests for versions without an instance that could take them."""

from __future__ import annotations

from scheduler_stage import MS, S, Stage, batch, config, dynamic, refusal, too_late
from shoal.core.errors import Code
from shoal.core.messages import V1, Stale
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import InstanceDraining, ModelConfigured, ModelRemoved, OutlookChanged

NOT_READY = "Request for unknown model: 'm' version 1 is not at ready state; "


def test_requests_wait_for_an_instance_that_is_being_loaded() -> None:
    stage = Stage(dynamic(), instances=0)
    assert stage.arrive(1, 2) == []
    assert stage.wait(3 * S) == []
    assert stage.ready() == [batch(1, "instance idle", [1, 2], queue_us=3_000_000)]


def test_each_request_waits_10_s_for_an_instance() -> None:
    stage = Stage(config(), instances=0)
    stage.arrive(1)
    stage.wait(4 * S)
    stage.arrive(2)
    text = NOT_READY + "no instance became ready within 10 s"
    assert stage.wait(6 * S - 1) == []
    assert stage.wait(1) == [refusal(1, Code.UNAVAILABLE, text)]
    assert stage.wait(4 * S) == [refusal(2, Code.UNAVAILABLE, text)]


def test_the_wait_begins_when_the_last_instance_goes() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.wait(9 * S)
    stage.gone()
    assert [action for action in stage.wait(10 * S - 1) if not isinstance(action, Tell)] == []
    text = NOT_READY + "no instance became ready within 10 s"
    assert stage.wait(1) == [
        refusal(1, Code.UNAVAILABLE, text, queue_ns=19 * S, executed=True),
        refusal(2, Code.UNAVAILABLE, text),
    ]


def test_a_deadline_bounds_the_wait() -> None:
    stage = Stage(config(), instances=0)
    stage.arrive(1, deadline_us=1000)
    assert stage.wait(1 * MS) == [too_late(1, 1, 1, "0 executions")]


def test_requests_are_refused_at_once_when_no_instance_will_come() -> None:
    stage = Stage(config(), instances=0)
    stage.arrive(1)
    refused = refusal(1, Code.UNAVAILABLE, NOT_READY + "Internal: out of memory")
    assert stage.handle(OutlookChanged("m", 1, "g", "Internal: out of memory")) == [refused]
    assert stage.arrive(2) == [refused._replace(key=("s", 2))]
    stage.handle(OutlookChanged("m", 1, "g", None))
    assert stage.arrive(3) == []


def test_why_no_instance_will_come_is_known_before_the_model_is() -> None:
    stage = Stage(config())
    stage.handle(OutlookChanged("m", 1, "g2", "Internal: broken"))
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    assert stage.arrive(1, generation="g2") == [refusal(1, Code.UNAVAILABLE, NOT_READY + "Internal: broken")]


def test_a_busy_instance_is_waited_for_as_long_as_it_likes() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    assert not any(isinstance(action, type(refusal(2, Code.UNAVAILABLE, ""))) for action in stage.wait(60 * S))
    assert stage.done(1) == [batch(2, "instance idle", [2], queue_us=60_000_000)]


def test_a_draining_instance_gets_no_more_batches_and_finishes_its_own() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1, 2, 3)
    stage.handle(InstanceDraining("e", 0))
    assert stage.done(1) == []
    assert stage.done(2) == [batch(3, "instance idle", [3], slot=1)]


def test_a_draining_instance_that_is_all_there_is_does_not_count() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    stage.handle(InstanceDraining("e", 0))
    assert stage.wait(4 * S) == []
    stage.done(1)
    assert stage.wait(6 * S) == [
        refusal(2, Code.UNAVAILABLE, NOT_READY + "no instance became ready within 10 s"),
    ]


def test_what_waits_for_an_outdated_generation_goes_back_when_its_last_instance_goes() -> None:
    stage = Stage(config())
    stage.arrive(1, 2, 3)
    assert stage.handle(ModelConfigured("m", "g2", {1: config()})) == []
    assert stage.done(1) == [batch(2, "instance idle", [2])]
    assert stage.handle(InstanceDraining("e", 0)) == [Tell("s", Stale(V1, (3,)))]


def test_what_waits_for_a_removed_model_is_refused_when_its_last_instance_goes() -> None:
    stage = Stage(config())
    stage.arrive(1, 2, 3)
    assert stage.handle(ModelRemoved("m")) == []
    assert stage.done(1) == [batch(2, "instance idle", [2])]
    refused = refusal(3, Code.UNAVAILABLE, NOT_READY + "it was unloaded")
    assert stage.handle(InstanceDraining("e", 0)) == [refused]
