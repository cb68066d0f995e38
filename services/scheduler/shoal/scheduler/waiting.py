"""Requests that wait too long: for their queue policy, for their client, or for an instance that does not come."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from shoal.core.errors import ShoalError, Unavailable
from shoal.core.messages import V1, Stale
from shoal.scheduler.actions import Action, Refuse, Tell, refuse_new, refuse_queued
from shoal.scheduler.queue import Expired
from shoal.scheduler.queued_request import QueuedRequest
from shoal.scheduler.served import ServedVersion, not_ready
from shoal.scheduler.state import State

#: How long requests wait for an instance that is being loaded or restarted.
HOLD_NS = 10_000_000_000
#: How many of the requests ahead of a late one are looked at, to tell its client how many executions they make.
_AHEAD_LIMIT = 1024


def refuse_late(state: State, served: ServedVersion, now: int) -> list[Action]:
    """Refuse what is beyond its queue policy's timeout or its client's deadline."""
    waiting = list(islice(served.scheduler.waiting(), _AHEAD_LIMIT))
    places = {entry.key: place for place, entry in enumerate(waiting)}
    actions: list[Action] = []
    for expired in served.scheduler.expire(now):
        entry = expired.entry
        del state.queued[entry.key]
        ahead = waiting[: places.get(entry.key, _AHEAD_LIMIT)]
        executions = _executions(served, ahead) + len(served.pool.busy)
        actions.append(refuse_queued(entry, _too_late(expired, executions, now), now))
    return actions


def _executions(served: ServedVersion, waiting: list[QueuedRequest]) -> int:
    together = [entry for entry in waiting if not entry.is_suspect]
    return len(waiting) - len(together) + served.scheduler.executions(together)


def hold(state: State, served: ServedVersion, now: int) -> list[Action]:
    """No instance can take what waits: keep it for one that is to come, give it up when none is."""
    if served.retired == "superseded":
        return _hand_back(state, withdraw(state, served, list(served.scheduler.waiting())))
    why = "it was unloaded" if served.retired == "removed" else served.pool.hopeless
    if why is not None:
        return _refuse(state, served, list(served.scheduler.waiting()), why, now)
    if served.look_again_ns is not None and now < served.look_again_ns:
        return []
    since_ns = served.pool.unready_since_ns
    late = [entry for entry in served.scheduler.waiting() if max(entry.arrived_ns, since_ns) + HOLD_NS <= now]
    actions = _refuse(state, served, late, f"no instance became ready within {HOLD_NS // 10**9} s", now)
    waits = [max(entry.arrived_ns, since_ns) + HOLD_NS for entry in served.scheduler.waiting()]
    served.look_again_ns = min(waits, default=None)
    if served.look_again_ns is not None:
        state.timers.ask(served.key, served.look_again_ns)
    return actions


def withdraw(state: State, served: ServedVersion, entries: Iterable[QueuedRequest]) -> list[QueuedRequest]:
    """Take requests out of a version's queue, for good."""
    taken = list(entries)
    for entry in taken:
        served.scheduler.remove(entry.key)
        del state.queued[entry.key]
    return taken


def _hand_back(state: State, entries: Iterable[QueuedRequest]) -> list[Action]:
    """Tell the submitters that the generation of these requests is not served any more: they check and send again."""
    counters: dict[str, list[int]] = {}
    for entry in entries:
        submitter, counter = entry.key
        counters.setdefault(submitter, []).append(counter)
    return [Tell(submitter, Stale(V1, tuple(found))) for submitter, found in counters.items()]


def _refuse(state: State, served: ServedVersion, entries: list[QueuedRequest], why: str, now: int) -> list[Action]:
    error = not_ready(served.key, why)
    return [_refuse_unready(entry, error, now) for entry in withdraw(state, served, entries)]


def _refuse_unready(entry: QueuedRequest, error: ShoalError, now: int) -> Refuse:
    # Triton refuses such requests before they are accepted, and counts no failure; one that was executing did fail.
    return refuse_queued(entry, error, now) if entry.deaths else refuse_new(entry.key, error)


def _too_late(expired: Expired, executions: int, now: int) -> ShoalError:
    entry = expired.entry
    if expired.limit == "timeout":
        return Unavailable("Request timeout expired")
    deadline_ms = (entry.request.deadline_us or 0) / 1000
    waited_ms = (now - entry.arrived_ns) / 1e6
    started = (
        f"its execution ended with its executor: {entry.deaths[-1]}" if entry.deaths else "the request was not started"
    )
    return Unavailable(
        f"deadline of {deadline_ms:.0f} ms passed after {waited_ms:.0f} ms in the queue of '{entry.request.model}' "
        f"({executions} execution{'' if executions == 1 else 's'} ahead); {started}"
    )
