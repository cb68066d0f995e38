"""What happens to batches after they were sent: they are done, were lost on the way, or are asked after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from shoal.core.messages import V1, BatchQuery, RequestKey
from shoal.scheduler.actions import Action, Tell
from shoal.scheduler.batches import BatchRef, InstanceKey, OpenBatch
from shoal.scheduler.closing import close
from shoal.scheduler.events import BatchesLost, BatchFinished, LinkChanged
from shoal.scheduler.retry import Setback
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State
from shoal.scheduler.taken_back import take_back

#: An executor is asked after a batch that has been open for this long, this often.
ASK_AGE_NS = 5_000_000_000
ASK_INTERVAL_NS = 1_000_000_000
#: An instance that did not take a batch gets none for this long: its agent is about to say what is wrong with it.
REST_NS = 50_000_000


def finished(state: State, event: BatchFinished) -> tuple[list[Action], ServedVersion | None]:
    """A batch is done: its instance is free and its requests are answered. With it the version that may go on, if
    any."""
    executor, epoch, batch_id = event
    batch = state.open.remove((epoch, batch_id))
    if batch is None:
        return _revived(state, (epoch, batch_id), executor), None
    state.finished.add(batch.keys, executor)
    if state.cancelled:
        state.cancelled.difference_update(batch.keys)
    actions = close(state, batch.closing) if batch.closing else []
    return actions, release(state, batch.instance)


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


def _revived(state: State, ref: BatchRef, executor: str) -> list[Action]:
    """A batch that was given up is done after all: what of it waits for its second try is answered already, and what
    is being tried again need not be a third time."""
    batch = state.open.reviving(ref)
    if batch is None:
        return []
    state.finished.add(batch.keys, executor)
    closing: list[RequestKey] = []
    for key in batch.keys:
        entry = state.take_out(key)
        if entry is not None and entry.in_arena:
            closing.append(key)
    return close(state, closing)


def lost(state: State, event: BatchesLost, now: int) -> tuple[list[Action], list[ServedVersion]]:
    """Batches that never arrived, or were not taken: their requests were not started, so this was no try. With it the
    versions that may go on; the instances rest for a moment first."""
    actions: list[Action] = []
    versions: list[ServedVersion] = []
    for batch_id in event.batch_ids:
        batch = state.open.remove((event.epoch, batch_id))
        if batch is None:
            continue
        # Soon found out, there was trouble on somebody's link, or the instance is being unloaded.
        kind: Literal["accident", "loss"] = "loss" if now - batch.sent_ns >= ASK_AGE_NS else "accident"
        cause = f"it did not arrive at {event.executor}, or was not understood there: are all processes of one release?"
        actions += take_back(state, batch, Setback(kind, cause), now)
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
