from __future__ import annotations

from scheduler_stage import S, Stage, batch, config, dynamic, refusal
from shoal.core.errors import Code
from shoal.core.messages import V1, Stale
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import InstanceDraining, ModelConfigured, ModelRemoved


def versions(stage: Stage) -> list[tuple[int, str, str | None]]:
    return [(v.version, v.generation, v.retired) for v in stage.core.snapshot(stage.now_ns).versions]


def test_the_same_generation_again_changes_nothing() -> None:
    stage = Stage(config())
    stage.arrive(1, 2)
    assert stage.handle(ModelConfigured("m", "g", {1: config()})) == []
    assert stage.done(1) == [batch(2, "instance idle", [2])]


def test_a_new_generation_takes_the_place_of_the_old_one_and_is_used_at_once() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.handle(ModelConfigured("m", "g2", {1: dynamic()}))
    stage.ready(1, generation="g2")
    assert stage.arrive(2, generation="g2") == [batch(2, "instance idle", [2], slot=1)]
    assert versions(stage) == [(1, "g", "superseded"), (1, "g2", None)]


def test_an_old_generation_is_forgotten_when_it_has_finished() -> None:
    stage = Stage(config())
    stage.arrive(1)
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    stage.handle(InstanceDraining("e", 0))
    assert versions(stage) == [(1, "g", "superseded"), (1, "g2", None)]
    stage.done(1)
    assert versions(stage) == [(1, "g2", None)]


def test_a_generation_may_come_back() -> None:
    stage = Stage(config())
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    assert stage.arrive(1) == [Tell("s", Stale(V1, (1,)))]
    stage.handle(ModelConfigured("m", "g", {1: config()}))
    assert stage.arrive(1) == [batch(1, "instance idle", [1])]


def test_a_version_may_join_and_leave_within_a_generation() -> None:
    stage = Stage(config())
    stage.handle(ModelConfigured("m", "g", {1: config(), 2: config()}))
    assert versions(stage) == [(1, "g", None), (2, "g", None)]
    stage.handle(ModelConfigured("m", "g", {2: config()}))
    text = "Request for unknown model: 'm' version 1 is not found"
    assert stage.arrive(1) == [refusal(1, Code.NOT_FOUND, text)]


def test_a_removed_model_is_unknown() -> None:
    stage = Stage(config())
    stage.handle(ModelRemoved("m"))
    stage.arrive(1)
    assert stage.wait(1 * S) == [refusal(1, Code.NOT_FOUND, "Request for unknown model: 'm' is not found")]


def test_instances_may_be_known_before_their_model() -> None:
    stage = Stage(config())
    stage.ready(5, generation="g2")
    stage.handle(ModelConfigured("m", "g2", {1: config()}))
    assert stage.arrive(1, generation="g2") == [batch(1, "instance idle", [1], slot=5)]
