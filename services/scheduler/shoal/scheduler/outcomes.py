"""What happens to batches after they were sent: they are done, were lost on the way, or are asked after."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shoal.core.errors import Cancelled
from shoal.core.messages import V1, BatchQuery
from shoal.scheduler.actions import Action, Tell, refuse_queued
from shoal.scheduler.batches import BatchRef, InstanceKey, OpenBatch
from shoal.scheduler.events import BatchesLost, BatchFinished, LinkChanged
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.reconcile import send_again
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State

#: An executor is asked after a batch that has been open for this long, this often.
ASK_AGE_NS = 5_000_000_000
ASK_INTERVAL_NS = 1_000_000_000
#: An instance that did not take a batch gets none for this long: its agent is about to say what is wrong with it.
REST_NS = 50_000_000


def finished(state: State, event: BatchFinished) -> ServedVersion | None:
    """A batch is done: its instance is free and its requests are answered. The version that may go on, if any."""
    executor, epoch, batch_id = event
    batch = state.open.remove((epoch, batch_id))
    if batch is None:
        return _revived(state, (epoch, batch_id), executor)
    state.finished.add(batch.keys, executor)
    if state.cancelled:
        state.cancelled.difference_update(batch.keys)
    return release(state, batch.instance)


def release(state: State, instance: InstanceKey) -> ServedVersion | None:
    """An instance does not hold a batch any more. The version that may go on, if any."""
    pool = state.pool_of.get(instance)
    if pool is None:
        return None
    if not state.open.on(instance):
        pool.release(instance)
        if instance not in pool.ready:
            del state.pool_of[instance]
    served = state.served.get(pool.key)
    if served is None:
        state.forget_pool_if_unused(pool)
    return served


def _revived(state: State, ref: BatchRef, executor: str) -> ServedVersion | None:
    """A batch that was given up is done after all: what of it waits for its second try is answered already, and what
    is being tried again need not be a third time."""
    batch = state.open.reviving(ref)
    if batch is None:
        return None
    state.finished.add(batch.keys, executor)
    for key in batch.keys:
        served = state.queued.pop(key, None)
        if served is not None:
            served.scheduler.remove(key)
    return None


def lost(state: State, event: BatchesLost, now: int) -> tuple[list[Action], list[ServedVersion]]:
    """Batches that never arrived, or were not taken: their requests were not started, so this was no try. With it the
    versions that may go on; the instances rest for a moment first."""
    actions: list[Action] = []
    versions: list[ServedVersion] = []
    for batch_id in event.batch_ids:
        batch = state.open.remove((event.epoch, batch_id))
        if batch is None:
            continue
        actions += take_back(state, batch, lambda entry: entry, now)
        state.resting.append((now + REST_NS, batch.instance))
        state.timers.ask("resting", now + REST_NS)
        served = state.served.get(batch.version) if batch.version else None
        if served is not None:
            versions.append(served)
    return actions, versions


def rested(state: State, now: int) -> list[ServedVersion]:
    """Instances that rested long enough are free again. The versions that may go on."""
    versions: list[ServedVersion | None] = []
    while state.resting and state.resting[0][0] <= now:
        _, instance = state.resting.popleft()
        versions.append(release(state, instance))
    if state.resting:
        state.timers.ask("resting", state.resting[0][0])
    return [served for served in versions if served is not None]


def take_back(
    state: State, batch: OpenBatch, judge: Callable[[QueuedRequest], QueuedRequest | Action], now: int
) -> list[Action]:
    """Queue the requests of a batch that is not open any more again, before all others; those that `judge` refuses,
    those that nobody waits for and those that we only adopted are dealt with by the actions."""
    served = state.served.get(batch.version) if batch.version else None
    if served is None:
        state.cancelled.difference_update(batch.keys)
        return send_again(batch.keys, state.epoch)
    actions: list[Action] = []
    again: list[QueuedRequest] = []
    for entry in batch.members:
        if entry.key in state.cancelled:
            state.cancelled.discard(entry.key)
            actions.append(refuse_queued(entry, Cancelled(""), now))
            continue
        if state.has(entry.key) or state.finished.executor_of(entry.key) is not None:
            # Another batch, of an owner before us or one believed dead, has it or has answered it.
            continue
        judged = judge(entry)
        if isinstance(judged, QueuedRequest):
            again.append(judged)
            state.queued[entry.key] = served
        else:
            actions.append(judged)
    served.scheduler.requeue(again)
    return actions


def ask_after_link(state: State, event: LinkChanged) -> list[Action]:
    """Messages may have been lost: ask after every batch that this concerns."""
    return _ask(batch for batch in state.open if event.executor in (None, batch.instance[0]))


def ask_after_old(state: State, now: int) -> list[Action]:
    """Ask after batches that have been open for long, and be here again while any is open."""
    actions = _ask(batch for batch in state.open if now - batch.sent_ns >= ASK_AGE_NS)
    oldest = next(iter(state.open), None)
    if oldest is not None:
        state.timers.ask("open batches", max(oldest.sent_ns + ASK_AGE_NS, now + ASK_INTERVAL_NS))
    return actions


def _ask(batches: Iterable[OpenBatch]) -> list[Action]:
    asked: dict[tuple[str, int], list[int]] = {}
    for batch in batches:
        executor, _ = batch.instance
        epoch, batch_id = batch.ref
        asked.setdefault((executor, epoch), []).append(batch_id)
    return [Tell(executor, BatchQuery(V1, epoch, tuple(ids))) for (executor, epoch), ids in asked.items()]
