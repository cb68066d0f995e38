"""Sends what a version has waiting, as far as its instances allow."""

from __future__ import annotations

from shoal.scheduler.actions import Action
from shoal.scheduler.alone import place
from shoal.scheduler.dispatching import dispatch
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State
from shoal.scheduler.waiting import hold, refuse_late


def advance(state: State, served: ServedVersion, now: int) -> list[Action]:
    """Everything that can be done for this version now. To be called after every change of its queue or instances."""
    actions: list[Action] = place(state, now) if state.suspicious else []
    scheduler, pool = served.scheduler, served.pool
    queue = scheduler.queue
    expiry_ns = queue.next_expiry_ns
    if expiry_ns is not None and expiry_ns <= now:
        actions += refuse_late(state, served, now)
    while pool.idle and queue.size and not (scheduler.preserves_order and (pool.busy or scheduler.suspects)):
        reason, members, wake_ns = scheduler.next_batch(now)
        if reason is None:
            if wake_ns is not None:
                state.timers.ask(served.key, wake_ns)
            break
        actions.append(dispatch(state, served, pool.take(), reason, members, now=now))
    if (queue.size or state.suspicious) and not pool.can_serve:
        actions += hold(state, served, now)
    expiry_ns = queue.next_expiry_ns
    if expiry_ns is not None:
        state.timers.ask(served.key, expiry_ns)
    if served.retired is not None:
        state.forget_if_done(served)
    return actions
