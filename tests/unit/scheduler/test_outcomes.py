"""Batches that were lost, and asking after batches."""

from __future__ import annotations

from scheduler_stage import MS, S, Stage, batch, config, dynamic
from shoal.core.messages import V1, BatchQuery
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import BatchesLost, InstanceReady, LinkChanged


def test_a_lost_batch_is_sent_again_in_front_after_its_instance_has_rested() -> None:
    stage = Stage(dynamic(max_batch_size=2))
    stage.arrive(1, 2, 3)
    assert stage.handle(BatchesLost("e", 1, (1,))) == []
    assert stage.wait(50 * MS) == [batch(2, "full", [1, 2], queue_us=50_000)]


def test_a_lost_batch_goes_to_another_idle_instance_at_once() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1)
    assert stage.handle(BatchesLost("e", 1, (1,))) == [batch(2, "instance idle", [1], slot=1)]


def test_being_lost_is_no_try() -> None:
    stage = Stage(config())
    stage.arrive(1)
    for batch_id in range(1, 5):
        stage.handle(BatchesLost("e", 1, (batch_id,)))
        (sent,) = stage.wait(50 * MS)
        assert sent == batch(batch_id + 1, "instance idle", [1], queue_us=50_000 * batch_id)


def test_a_batch_that_is_not_open_cannot_be_lost() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.done(1)
    assert stage.handle(BatchesLost("e", 1, (1, 7))) == []


def test_a_batch_done_twice_frees_its_instance_once() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    assert stage.done(1) == [batch(2, "instance idle", [2])]
    assert stage.done(1) == []
    assert stage.arrive(3) == []


def test_after_trouble_on_an_executors_link_its_batches_are_asked_after() -> None:
    stage = Stage(config(), instances=2)
    stage.handle(InstanceReady("m", 1, "g", "other", 0, "m_0_9"))
    stage.arrive(1, 2, 3)
    assert stage.handle(LinkChanged("e")) == [Tell("e", BatchQuery(V1, 1, (1, 2)))]


def test_after_trouble_on_our_own_link_every_batch_is_asked_after() -> None:
    stage = Stage(config())
    stage.handle(InstanceReady("m", 1, "g", "other", 0, "m_0_9"))
    stage.arrive(1, 2)
    asked = [Tell("e", BatchQuery(V1, 1, (1,))), Tell("other", BatchQuery(V1, 1, (2,)))]
    assert stage.handle(LinkChanged(None)) == asked


def test_batches_older_than_5_s_are_asked_after_once_a_second() -> None:
    stage = Stage(config())
    stage.arrive(1)
    asked = Tell("e", BatchQuery(V1, 1, (1,)))
    assert stage.wait(5 * S - 1) == []
    assert stage.wait(1) == [asked]
    assert stage.wait(2 * S) == [asked, asked]
    stage.done(1)
    assert stage.wait(10 * S) == []


def test_a_younger_batch_is_asked_after_at_its_own_time() -> None:
    stage = Stage(config(), instances=2)
    stage.arrive(1)
    stage.wait(3 * S)
    stage.arrive(2)
    stage.done(1)
    assert stage.wait(5 * S - 1) == []
    assert stage.wait(1) == [Tell("e", BatchQuery(V1, 1, (2,)))]
