"""Sends what a version has waiting, as far as its instances allow."""

from __future__ import annotations

from shoal.scheduler.actions import Action, BatchReason, Dispatch, DispatchItem
from shoal.scheduler.batches import OpenBatch
from shoal.scheduler.outcomes import ASK_AGE_NS
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State
from shoal.scheduler.waiting import hold, refuse_late


def advance(state: State, served: ServedVersion, now: int) -> list[Action]:
    """Everything that can be done for this version now. To be called after every change of its queue or instances."""
    actions: list[Action] = []
    scheduler, pool = served.scheduler, served.pool
    queue = scheduler.queue
    expiry_ns = queue.next_expiry_ns
    if expiry_ns is not None and expiry_ns <= now:
        actions += refuse_late(state, served, now)
    while pool.idle and queue.size and not (scheduler.preserves_order and pool.busy):
        reason, members, wake_ns = scheduler.next_batch(now)
        if reason is None:
            if wake_ns is not None:
                state.timers.ask(served.key, wake_ns)
            break
        actions.append(_dispatch(state, served, reason, members, now))
    if queue.size and not pool.can_serve:
        actions += hold(state, served, now)
    expiry_ns = queue.next_expiry_ns
    if expiry_ns is not None:
        state.timers.ask(served.key, expiry_ns)
    if served.retired is not None:
        state.forget_if_done(served)
    return actions


def _dispatch(
    state: State, served: ServedVersion, reason: BatchReason, members: tuple[QueuedRequest, ...], now: int
) -> Dispatch:
    executor, slot = instance = served.pool.take()
    state.last_batch_id = batch_id = state.last_batch_id + 1
    keys = tuple([entry.key for entry in members])
    for key in keys:
        del state.queued[key]
    state.open.add(OpenBatch((state.epoch, batch_id), instance, keys, served.key, members, now))
    state.timers.ask("open batches", now + ASK_AGE_NS)
    items = tuple([DispatchItem(entry.key, entry.part, (now - entry.arrived_ns) // 1000) for entry in members])
    return Dispatch(executor, slot, batch_id, reason, items)
