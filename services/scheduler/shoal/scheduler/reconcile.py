"""What a submitter is told about the requests that it still waits for."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.messages import V1, ReconcileReply, RequestKey, Resend
from shoal.scheduler.actions import Action, Tell
from shoal.scheduler.events import ReconcileAsked
from shoal.scheduler.state import State


def answer(state: State, event: ReconcileAsked) -> list[Action]:
    """Tell a submitter which of its requests we do not have, and have finished ones answered again."""
    submitter, counters = event
    unknown: list[int] = []
    lost: list[int] = []
    actions: list[Action] = []
    for counter in counters:
        key = (submitter, counter)
        if state.has(key):
            continue
        executor = state.finished.executor_of(key)
        if executor is None:
            unknown.append(counter)
        elif state.finished.is_dead(executor):
            lost.append(counter)
        else:
            actions.append(resend(state, key, executor))
    return [*actions, Tell(submitter, ReconcileReply(V1, state.epoch, tuple(unknown), tuple(lost)))]


def resend(state: State, key: RequestKey, executor: str) -> Tell:
    """What is done about a finished request whose submitter still waits: its executor answers again from what it
    keeps, or the submitter learns that the answer is gone."""
    submitter, counter = key
    if state.finished.is_dead(executor):
        return Tell(submitter, ReconcileReply(V1, state.epoch, (), (counter,)))
    return Tell(executor, Resend(V1, submitter, counter))


def send_again(keys: Iterable[RequestKey], epoch: int) -> list[Action]:
    """Unasked replies to the submitters of requests that we do not have and cannot queue again ourselves."""
    counters: dict[str, list[int]] = {}
    for submitter, counter in keys:
        counters.setdefault(submitter, []).append(counter)
    return [Tell(submitter, ReconcileReply(V1, epoch, tuple(found), ())) for submitter, found in counters.items()]
