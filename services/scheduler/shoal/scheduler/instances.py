"""The life of instances: ready, draining, gone. Each returns the version that may or must go on, if it is known."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.scheduler.actions import Action
from shoal.scheduler.batches import InstanceKey, VersionKey
from shoal.scheduler.events import ExecutorGone, InstanceDraining, InstanceGone, InstanceReady, OutlookChanged
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
    state.finished.executor_lives(executor)
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


def gone(state: State, event: InstanceGone, now: int) -> tuple[list[Action], list[ServedVersion]]:
    """An instance has ended: what it was executing is queued again, once."""
    executor, slot, cause = event
    actions, keys = _give_up((executor, slot), cause, state, now)
    if not any(known == executor for known, _ in state.pool_of):
        state.finished.executor_died(executor)
    return actions, _served(state, keys)


def executor_gone(state: State, event: ExecutorGone, now: int) -> tuple[list[Action], list[ServedVersion]]:
    """A process has ended with all its instances, those that were unloaded or adopted unknown included."""
    executor, cause = event
    held = [batch.instance for batch in state.open if batch.instance[0] == executor]
    known = [instance for instance in state.pool_of if instance[0] == executor]
    actions: list[Action] = []
    keys: list[VersionKey] = []
    for instance in dict.fromkeys((*held, *known)):
        given_up, concerned = _give_up(instance, cause, state, now)
        actions += given_up
        keys += concerned
    state.finished.executor_died(executor)
    return actions, _served(state, keys)


def _give_up(instance: InstanceKey, cause: str, state: State, now: int) -> tuple[list[Action], list[VersionKey]]:
    """Forget an instance and take back what it held; with it the versions that this concerns."""
    actions: list[Action] = []
    keys: list[VersionKey] = []
    for ref in reversed(state.open.on(instance)):
        batch = state.open.revoke(ref)
        if batch is None:
            continue
        if batch.version is None:
            state.deaths.remember(batch.keys, (cause,))
        else:
            keys.append(batch.version)
        actions += take_back(state, batch, lambda entry: after_death(entry, cause, now), now)
    pool = state.pool_of.pop(instance, None)
    if pool is not None:
        pool.remove(instance, now)
        state.forget_pool_if_unused(pool)
        keys.append(pool.key)
    return actions, keys


def _served(state: State, keys: Iterable[VersionKey]) -> list[ServedVersion]:
    return [state.served[key] for key in dict.fromkeys(keys) if key in state.served]


def outlook(state: State, event: OutlookChanged, now: int) -> ServedVersion | None:
    """Whether instances of a version are there or to come has changed."""
    model, version, generation, reason = event
    pool = state.pool((model, version, generation), now)
    pool.hopeless = reason
    state.forget_pool_if_unused(pool)
    return state.served.get(pool.key)
