from __future__ import annotations

import pytest

from scheduler_stage import Stage, batch, config
from shoal.scheduler.events import Event, InstanceReady, ModelConfigured
from shoal.scheduler.pool import Pool

KEY = ("m", 1, "g")


def test_the_instance_that_has_been_idle_for_longest_is_taken() -> None:
    pool = Pool(KEY, 0)
    for slot in (1, 2, 3):
        pool.add(("e", slot), f"m_0_{slot}", is_busy=False)
    assert [pool.take(), pool.take()] == [("e", 1), ("e", 2)]
    pool.release(("e", 2))
    pool.release(("e", 1))
    assert [pool.take(), pool.take(), pool.take()] == [("e", 3), ("e", 2), ("e", 1)]


def test_an_instance_that_drains_is_busy_until_released_and_never_idle_again() -> None:
    pool = Pool(KEY, 0)
    pool.add(("e", 1), "m_0_1", is_busy=True)
    pool.drain(("e", 1), 7)
    assert (pool.can_serve, pool.busy, pool.unready_since_ns) == (False, {("e", 1)}, 7)
    pool.release(("e", 1))
    assert (list(pool.idle), pool.is_unused) == ([], True)


@pytest.mark.parametrize(
    ("group", "passive_instance"),
    [
        ({"name": "spare", "passive": True}, "spare_0"),
        ({"name": "spare", "passive": True}, "spare_0_gpu1"),
        ({"passive": True}, "m_1_0"),
    ],
)
@pytest.mark.parametrize("is_model_first", [True, False])
def test_instances_of_passive_groups_are_never_used(
    group: dict[str, object], passive_instance: str, is_model_first: bool
) -> None:
    stage = Stage(config())
    configured = ModelConfigured("m", "g2", {1: config(instance_group=[{"name": "main"}, group])})
    ready = [
        InstanceReady("m", 1, "g2", "e", 8, passive_instance),
        InstanceReady("m", 1, "g2", "e", 9, "main_0"),
    ]
    events: list[Event] = [configured, *ready] if is_model_first else [*ready, configured]
    for event in events:
        stage.handle(event)
    assert stage.arrive(1, 2, generation="g2") == [batch(1, "instance idle", [1], slot=9)]
    assert stage.done(1) == [batch(2, "instance idle", [2], slot=9)]
