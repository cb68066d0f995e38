"""Requests that come in, and those that nobody waits for any more."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.errors import Cancelled, InvalidArgument
from shoal.core.messages import V1, Cancel, RequestKey, Stale
from shoal.scheduler import ensemble_answers, ensemble_runs
from shoal.scheduler.actions import Action, Refuse, Tell, refuse_full, refuse_new, refuse_queued
from shoal.scheduler.awaited import Awaited
from shoal.scheduler.closing import close
from shoal.scheduler.events import Arrival
from shoal.scheduler.queued_request import BATCH_LIMIT_NBYTES, QueuedRequest, accept
from shoal.scheduler.reconcile import answer_again
from shoal.scheduler.sending import advance
from shoal.scheduler.served import ServedVersion, unknown_model, unknown_version
from shoal.scheduler.state import State


def receive(state: State, arrivals: Iterable[Awaited], now: int) -> list[Action]:
    """Queue requests, each with the time at which it came, and send what can be sent then."""
    actions: list[Action] = []
    closing: list[RequestKey] = []
    touched: dict[ServedVersion, None] = {}
    for arrival, arrived_ns in arrivals:
        request = arrival.request
        key = request.key
        if state.has(key):
            continue
        executor = state.finished.executor_of(key)
        if executor is not None:
            actions += answer_again(state, key, executor, now)
            if accept(key, request, arrival.part, arrived_ns).in_arena:
                closing.append(key)
            continue
        served = state.served.get((request.model, request.version, request.generation))
        if served is None or not (served.retired is None or _is_pinned(state, served, key)):
            actions += _displaced(state, key, arrival, arrived_ns)
            continue
        entry = accept(key, request, arrival.part, arrived_ns)
        refusal = _queue(state, served, entry, now)
        if refusal is None:
            touched[served] = None
        else:
            actions.append(refusal)
    if closing:
        actions += close(state, closing)
    for served in touched:
        actions += advance(state, served, now)
    return actions


def _queue(state: State, served: ServedVersion, entry: QueuedRequest, now: int) -> Refuse | None:
    if served.unsupported is not None:
        return refuse_new(entry.key, served.unsupported)
    if served.ensemble is not None:
        return ensemble_runs.start(state, served, entry, now)
    if entry.nbytes > BATCH_LIMIT_NBYTES:
        text = f"request for model '{entry.request.model}' has {entry.nbytes} bytes, at most {BATCH_LIMIT_NBYTES} fit"
        return refuse_new(entry.key, InvalidArgument(text))
    if entry.deaths:
        state.queue_again(served, [entry])
    elif served.scheduler.enqueue(entry, now):
        state.queued[entry.key] = served
    else:
        return refuse_full(entry.request)
    return None


def _is_pinned(state: State, served: ServedVersion, key: RequestKey) -> bool:
    """Whether a version that is outdated takes this request all the same: a step of an ensemble that began with it."""
    return key[0] == state.ensembles.own and served.can_serve


def _displaced(state: State, key: RequestKey, arrival: Arrival, arrived_ns: int) -> list[Action]:
    """A request for something that is not served: refused, sent back, or kept until our view has caught up."""
    request = arrival.request
    if state.generations.get(request.model) == request.generation:
        return [refuse_new(key, unknown_version(request.model, request.version))]
    if request.generation in state.superseded.get(request.model, ()):
        return [_stale(key)]
    if not state.awaited.add(key, arrival, arrived_ns):
        return [refuse_full(request)]
    expiry_ns = state.awaited.next_expiry_ns
    if expiry_ns is not None:
        state.timers.ask("awaited", expiry_ns)
    return []


def refuse_unknown(state: State, now: int) -> list[Action]:
    """Give up on requests whose model or generation did not appear."""
    actions: list[Action] = []
    for arrival, _ in state.awaited.expire(now):
        request = arrival.request
        known = request.model in state.generations
        actions.append(_stale(request.key) if known else refuse_new(request.key, unknown_model(request.model)))
    expiry_ns = state.awaited.next_expiry_ns
    if expiry_ns is not None:
        state.timers.ask("awaited", expiry_ns)
    return actions


def cancel(state: State, keys: Iterable[RequestKey], now: int) -> list[Action]:
    """Drop what waits, and tell the executors of what runs."""
    actions: list[Action] = []
    running: dict[tuple[str, str], list[int]] = {}
    touched: dict[ServedVersion, None] = {}
    for key in keys:
        served = state.queued.pop(key, None)
        batch = state.open.of_request(key)
        if served is not None:
            touched[served] = None
            entry = served.scheduler.remove(key)
            if entry is not None:
                actions.append(refuse_queued(entry, Cancelled(""), now))
        elif batch is not None:
            state.cancelled.add(key)
            running.setdefault((batch.instance[0], key[0]), []).append(key[1])
        elif key in state.ensembles.runs:
            ensemble_runs.cancel(state, key, now)
        elif state.awaited.remove(key) is not None:
            actions.append(refuse_new(key, Cancelled("")))
        elif (executor := state.finished.executor_of(key)) is not None:
            # Its batch is done, but it may be giving responses still.
            running.setdefault((executor, key[0]), []).append(key[1])
    for (executor, submitter), counters in running.items():
        actions.append(Tell(executor, Cancel(V1, submitter, tuple(counters))))
    for served in touched:
        actions += advance(state, served, now)
    return actions


def cancel_all_of(state: State, submitter: str, now: int) -> list[Action]:
    """A submitter is gone: cancel everything of it, without answers."""
    for key, run in state.ensembles.runs.items():
        run.is_deserted = run.is_deserted or key[0] == submitter
    ensemble_answers.desert(state, submitter)
    held = [*state.queued, *state.open.running_keys(), *state.awaited.waiting(), *state.ensembles.runs]
    actions = cancel(state, [key for key in held if key[0] == submitter], now)
    return [action for action in actions if not (isinstance(action, Refuse) and action.key[0] == submitter)]


def _stale(key: RequestKey) -> Tell:
    submitter, counter = key
    return Tell(submitter, Stale(V1, (counter,)))
