"""What becomes of a request whose execution ended with its executor: it is tried once more, then refused."""

from __future__ import annotations

from shoal.core.errors import Unavailable
from shoal.scheduler.actions import Refuse, refuse_queued
from shoal.scheduler.queued_request import QueuedRequest

#: Executions that a request may take with it: the second may have been somebody else's fault, a third hardly is.
DEATH_LIMIT = 2


def after_death(entry: QueuedRequest, cause: str, now: int) -> QueuedRequest | Refuse:
    """The request to be queued again, or its refusal. `cause`: why its executor ended."""
    entry = entry._replace(deaths=(*entry.deaths, cause))
    if len(entry.deaths) < DEATH_LIMIT:
        return entry
    request = entry.request
    text = (
        f"model '{request.model}' version {request.version}: the executor ended during the execution of this request, "
        f"twice (first: {entry.deaths[0]}; then: {cause}); it is not tried again"
    )
    return refuse_queued(entry, Unavailable(text), now)
