"""A batch leaves for an instance."""

from __future__ import annotations

from shoal.core.messages import RequestKey
from shoal.scheduler.actions import BatchReason, Dispatch, DispatchItem
from shoal.scheduler.batches import InstanceKey, OpenBatch
from shoal.scheduler.outcomes import ASK_AGE_NS
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State


def dispatch(
    state: State,
    served: ServedVersion,
    instance: InstanceKey,
    reason: BatchReason,
    members: tuple[QueuedRequest, ...],
    *,
    now: int,
) -> Dispatch:
    """Send requests, which have left their queue, to an instance, which is busy in its pool."""
    executor, slot = instance
    state.last_batch_id = batch_id = state.last_batch_id + 1
    keys = tuple([entry.key for entry in members])
    closing: tuple[RequestKey, ...] = ()
    for entry in members:
        del state.queued[entry.key]
        if entry.in_arena:
            closing = keys
    if closing:
        closing = tuple([entry.key for entry in members if entry.in_arena])
    state.open.add(OpenBatch((state.epoch, batch_id), instance, keys, served.key, members, now, closing))
    state.timers.ask("open batches", now + ASK_AGE_NS)
    items = tuple([DispatchItem(e.key, e.part, (now - e.arrived_ns) // 1000, len(e.deaths)) for e in members])
    return Dispatch(executor, slot, batch_id, reason, items)
