"""The life of instances and of their processes: ready, draining, gone; with the versions that may or must go on."""

from __future__ import annotations

from shoal.scheduler.actions import Action
from shoal.scheduler.batches import InstanceKey, VersionKey
from shoal.scheduler.events import ExecutorGone, InstanceDraining, InstanceReady, OutlookChanged
from shoal.scheduler.reconcile import tell_lost
from shoal.scheduler.retry import Setback
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State
from shoal.scheduler.taken_back import take_back


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


def executor_gone(state: State, event: ExecutorGone, now: int) -> tuple[list[Action], list[ServedVersion]]:
    """A process has ended with all its instances, those that were unloaded or that nobody told us of included. What it
    was executing is tried once more; what it held besides was not started. With it the versions that this concerns."""
    executor, cause, executing = event
    actions: list[Action] = []
    keys: list[VersionKey] = []
    # The newest first, so that the oldest is queued in front of all.
    for ref in sorted(state.open.on_executor(executor), reverse=True):
        batch = state.open.revoke(ref)
        if batch is None:
            continue
        has_died = executing is None or ref in executing
        actions += take_back(state, batch, Setback("death" if has_died else "loss", cause), now)
        if batch.version is not None:
            keys.append(batch.version)
    actions += tell_lost(state, executor)
    for instance in [instance for instance in state.pool_of if instance[0] == executor]:
        keys.append(_forget(state, instance, now))
    state.finished.executor_died(executor)
    state.unreported.discard(executor)
    return actions, [state.served[key] for key in dict.fromkeys(keys) if key in state.served]


def _forget(state: State, instance: InstanceKey, now: int) -> VersionKey:
    pool = state.pool_of.pop(instance)
    pool.remove(instance, now)
    state.forget_pool_if_unused(pool)
    return pool.key


def outlook(state: State, event: OutlookChanged, now: int) -> ServedVersion | None:
    """Whether instances of a version are there or to come has changed."""
    model, version, generation, reason = event
    pool = state.pool((model, version, generation), now)
    pool.hopeless = reason
    state.forget_pool_if_unused(pool)
    return state.served.get(pool.key)
