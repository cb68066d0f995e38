"""What a submitter is told about the requests that it still waits for, and about those that it waits for no longer."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.errors import Unavailable
from shoal.core.messages import V1, ReconcileReply, RequestKey, Resend
from shoal.scheduler.actions import Action, Refuse, Tell
from shoal.scheduler.closing import close
from shoal.scheduler.ensemble_answers import repeat
from shoal.scheduler.events import ReconcileAsked
from shoal.scheduler.resends import RESEND_LIMIT_NS
from shoal.scheduler.state import State


def answer(state: State, event: ReconcileAsked, now: int) -> list[Action]:
    """Tell a submitter which of its requests we do not have, and have finished ones answered again."""
    submitter, counters, closing = event
    unknown: list[int] = []
    lost: list[int] = []
    actions = _answer_closing(state, submitter, closing, now)
    for counter in counters:
        key = (submitter, counter)
        if key in state.ensembles.given:
            repeat(state, key)
        if key in state.ensembles.given or state.has(key):
            continue
        executor = state.finished.executor_of(key)
        if executor is None:
            unknown.append(counter)
        elif state.finished.is_dead(executor):
            lost.append(counter)
        else:
            actions += answer_again(state, key, executor, now)
    return [*actions, Tell(submitter, ReconcileReply(V1, state.epoch, tuple(unknown), tuple(lost)))]


def answer_again(state: State, key: RequestKey, executor: str, now: int) -> list[Action]:
    """What is done about a finished request whose submitter still waits: its executor answers again from what it
    keeps. When the answer is gone, or does not arrive however often it is sent, the submitter learns that."""
    submitter, counter = key
    if executor == state.ensembles.own:
        repeat(state, key)
        return []
    if state.finished.is_dead(executor):
        return [_gone(state, key)]
    if state.resends.is_hopeless(key, now):
        text = (
            f"the request was executed, but its answer was sent again for {RESEND_LIMIT_NS // 10**9} s and did not "
            "arrive, or was not understood; are all processes of one release?"
        )
        # Should the submitter not understand our answers either, it understands the other one.
        return [Refuse(key, Unavailable(text).to_wire(), 1, True), _gone(state, key)]
    return [Tell(executor, Resend(V1, submitter, counter))]


def send_again(keys: Iterable[RequestKey], epoch: int) -> list[Action]:
    """Unasked replies to the submitters of requests that we do not have and cannot queue again ourselves."""
    counters: dict[str, list[int]] = {}
    for submitter, counter in keys:
        counters.setdefault(submitter, []).append(counter)
    return [Tell(submitter, ReconcileReply(V1, epoch, tuple(found), ())) for submitter, found in counters.items()]


def tell_lost(state: State, executor: str) -> list[Action]:
    """Unasked replies to the submitters of requests that an executor has gone on answering after their batch was done:
    those of which nothing has arrived need not wait until they are old enough to be asked after."""
    pools = (pool for instance, pool in state.pool_of.items() if instance[0] == executor)
    versions = (state.served.get(pool.key) for pool in pools)
    if not any(served is not None and served.config.decoupled for served in versions):
        return []
    counters: dict[str, list[int]] = {}
    for submitter, counter in state.finished.of(executor):
        counters.setdefault(submitter, []).append(counter)
    return [Tell(submitter, ReconcileReply(V1, state.epoch, (), tuple(lost))) for submitter, lost in counters.items()]


def _gone(state: State, key: RequestKey) -> Tell:
    submitter, counter = key
    return Tell(submitter, ReconcileReply(V1, state.epoch, (), (counter,)))


def _answer_closing(state: State, submitter: str, counters: tuple[int, ...], now: int) -> list[Action]:
    if state.unreported and now < state.unreported_until_ns:
        return []
    return close(state, [(submitter, counter) for counter in counters])
