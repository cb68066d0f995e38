"""Batches that did not finish: what becomes of their requests."""

from __future__ import annotations

from shoal.core.errors import Cancelled
from shoal.core.messages import RequestKey
from shoal.scheduler.actions import Action, Refuse, refuse_queued
from shoal.scheduler.batches import OpenBatch
from shoal.scheduler.closing import close
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.reconcile import send_again
from shoal.scheduler.retry import DEATH_LIMIT, EARLIER, Setback, after, died, named, tell_deaths
from shoal.scheduler.state import State


def take_back(state: State, batch: OpenBatch, setback: Setback, now: int) -> list[Action]:
    """Queue the requests of a batch that is not open any more again, before all others. Those that have used up their
    tries or that nobody waits for are refused; those that we only adopted, or whose version is not served any more, are
    given back to their submitters, and so are those that were begun on a decoupled model: their submitters alone know
    whether they have responses already, and then they are not executed again."""
    # Another batch, of an owner before us or one believed dead, may have a request as well, or may have answered it.
    alone = [key for key in batch.keys if not state.has(key)]
    finished = {key for key in alone if state.finished.executor_of(key) is not None}
    state.cancelled -= finished
    actions = close(state, [key for key in batch.closing if key in finished])
    left = [key for key in alone if key not in finished]
    if batch.version is None:
        return actions + _give_back(state, batch, setback, left)
    members = {entry.key: entry for entry in batch.members}
    return actions + _try_again(state, batch, setback, [members[key] for key in left], now)


def _try_again(
    state: State, batch: OpenBatch, setback: Setback, entries: list[QueuedRequest], now: int
) -> list[Action]:
    actions: list[Action] = []
    again: list[QueuedRequest] = []
    for entry in entries:
        if entry.key in state.cancelled:
            state.cancelled.discard(entry.key)
            actions.append(refuse_queued(entry, Cancelled(""), now))
            continue
        judged = after(entry, setback, now)
        if isinstance(judged, QueuedRequest):
            again.append(judged)
        else:
            actions.append(judged)
    if setback.kind == "death":
        actions += tell_deaths({entry.key: entry.deaths for entry in again})
    served = state.served.get(batch.version) if batch.version else None
    if served is not None and not (setback.kind == "death" and served.config.decoupled):
        state.queue_again(served, again)
        return actions
    return actions + send_again([entry.key for entry in again], state.epoch)


def _give_back(state: State, batch: OpenBatch, setback: Setback, keys: list[RequestKey]) -> list[Action]:
    """Requests of an adopted batch: their submitters send them again, unless they have used up their tries."""
    deaths = dict(zip(batch.keys, batch.deaths, strict=True))
    causes_now = (setback.cause,) if setback.kind == "death" else ()
    actions: list[Action] = []
    again: dict[RequestKey, tuple[str, ...]] = {}
    for key in keys:
        state.cancelled.discard(key)
        causes = (EARLIER,) * deaths[key] + causes_now
        if len(causes) >= DEATH_LIMIT:
            actions.append(Refuse(key, died(_name(state, batch), causes).to_wire(), 1, True))
            continue
        again[key] = causes
    told = tell_deaths({key: causes for key, causes in again.items() if causes})
    return [*actions, *told, *send_again(again, state.epoch)]


def _name(state: State, batch: OpenBatch) -> str:
    pool = state.pool_of.get(batch.instance)
    return "a model that is not served any more" if pool is None else named(*pool.key[:2])
