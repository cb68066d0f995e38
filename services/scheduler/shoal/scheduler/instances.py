"""The life of instances: ready, draining, gone. Each returns the version that may or must go on, if it is known."""

from __future__ import annotations

from shoal.scheduler.actions import Action
from shoal.scheduler.events import InstanceDraining, InstanceGone, InstanceReady, OutlookChanged
from shoal.scheduler.outcomes import take_back
from shoal.scheduler.retry import after_death
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State


def ready(state: State, event: InstanceReady, now: int) -> ServedVersion | None:
    """An instance takes batches from now on."""
    model, version, generation, executor, slot, name = event
    instance = (executor, slot)
    pool = state.pool((model, version, generation), now)
    state.pool_of[instance] = pool
    pool.add(instance, name, bool(state.open.on(instance)))
    served = state.served.get(pool.key)
    if served is not None:
        served.look_again_ns = None
    return served


def draining(state: State, event: InstanceDraining, now: int) -> ServedVersion | None:
    """An instance takes no more batches; it is known until it has done what it holds."""
    instance = (event.executor, event.slot)
    pool = state.pool_of.get(instance)
    if pool is None:
        return None
    pool.drain(instance, now)
    if instance not in pool.busy:
        del state.pool_of[instance]
        state.forget_pool_if_unused(pool)
    return state.served.get(pool.key)


def gone(state: State, event: InstanceGone, now: int) -> tuple[list[Action], ServedVersion | None]:
    """An instance has ended: what it was executing is queued again, once."""
    executor, slot, cause = event
    instance = (executor, slot)
    actions: list[Action] = []
    for ref in reversed(state.open.on(instance)):
        batch = state.open.revoke(ref)
        if batch is not None:
            actions += take_back(state, batch, lambda entry: after_death(entry, cause, now), now)
    pool = state.pool_of.pop(instance, None)
    if not any(known == executor for known, _ in state.pool_of):
        state.finished.executor_died(executor)
    if pool is None:
        return actions, None
    pool.remove(instance, now)
    state.forget_pool_if_unused(pool)
    return actions, state.served.get(pool.key)


def outlook(state: State, event: OutlookChanged, now: int) -> ServedVersion | None:
    """Whether instances of a version are there or to come has changed."""
    model, version, generation, reason = event
    pool = state.pool((model, version, generation), now)
    pool.hopeless = reason
    state.forget_pool_if_unused(pool)
    return state.served.get(pool.key)
