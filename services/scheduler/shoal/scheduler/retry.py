"""What becomes of a request whose batch did not finish: it is tried again, though not for ever.

An execution that ended with its executor is a try, and there are two. A batch that was lost on its way, or whose
executor ended before it was started, is none; but what is lost again and again, while nobody knows why, is not lost by
accident: its receiver may not understand it, or it ends executors in a way that their agents do not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from shoal.core.errors import Unavailable
from shoal.core.messages import V1, RequestKey, Retried
from shoal.scheduler.actions import Refuse, Tell, refuse_queued
from shoal.scheduler.queued_request import QueuedRequest

#: Executions that a request may take with it: the second may have been somebody else's fault, a third hardly is.
DEATH_LIMIT = 2
#: Batches of a request that never start; a lost one is noticed after five seconds.
LOSS_LIMIT = 3
#: What is known of the deaths that an owner before us has seen.
EARLIER = "an executor ended before the scheduler was replaced"


class Setback(NamedTuple):
    """Why a batch did not finish. `death`: it was executing when its executor ended; `loss`: it never started, for a
    reason that may be its own; `accident`: it never started, and is not to blame."""

    kind: Literal["death", "loss", "accident"]
    cause: str


def tell_deaths(deaths: Mapping[RequestKey, tuple[str, ...]]) -> list[Tell]:
    """Have submitters remember what their requests died of: a try that is used up stays used up, whoever schedules them
    next."""
    told: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for (submitter, counter), causes in deaths.items():
        told.setdefault(submitter, []).append((counter, causes))
    return [Tell(submitter, Retried(V1, tuple(found))) for submitter, found in told.items()]


def after(entry: QueuedRequest, setback: Setback, now: int) -> QueuedRequest | Refuse:
    """The request to be queued again, or its refusal."""
    kind, cause = setback
    if kind == "death":
        entry = entry._replace(deaths=(*entry.deaths, cause))
        if len(entry.deaths) >= DEATH_LIMIT:
            return refuse_queued(entry, died(_named(entry), entry.deaths), now)
    elif kind == "loss":
        entry = entry._replace(losses=entry.losses + 1)
        if entry.losses >= LOSS_LIMIT:
            return refuse_queued(entry, _lost(entry, cause), now)
    return entry


def died(name: str, causes: tuple[str, ...]) -> Unavailable:
    """The refusal of a request of the version `name` that has used up its tries."""
    return Unavailable(
        f"{name}: the executor ended during the execution of this request, twice (first: {causes[0]}; then: "
        f"{causes[-1]}); it is not tried again"
    )


def _lost(entry: QueuedRequest, cause: str) -> Unavailable:
    return Unavailable(
        f"{_named(entry)}: the request was sent to executors {entry.losses} times and never started (the last time: "
        f"{cause}); it is not tried again"
    )


def _named(entry: QueuedRequest) -> str:
    return named(entry.request.model, entry.request.version)


def named(model: str, version: int) -> str:
    return f"model '{model}' version {version}"
