"""What becomes of a request whose execution ended with its executor: it is tried once more, then refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from shoal.core.errors import Unavailable
from shoal.core.messages import RequestKey
from shoal.scheduler.actions import Refuse, refuse_queued
from shoal.scheduler.queued_request import QueuedRequest

#: Executions that a request may take with it: the second may have been somebody else's fault, a third hardly is.
DEATH_LIMIT = 2

#: Requests on their way back to us whose deaths are remembered.
_REMEMBERED_LIMIT = 4096


class Deaths:
    """What requests died of that were given back to their submitters, who send them again: a try that is used up stays
    used up."""

    def __init__(self) -> None:
        self._causes: OrderedDict[RequestKey, tuple[str, ...]] = OrderedDict()

    def remember(self, keys: Iterable[RequestKey], causes: tuple[str, ...]) -> None:
        for key in keys:
            self._causes[key] = causes
        while len(self._causes) > _REMEMBERED_LIMIT:
            self._causes.popitem(last=False)

    def restore(self, entry: QueuedRequest) -> QueuedRequest:
        """The request as it comes back, with what it died of before."""
        causes = self._causes.pop(entry.key, ())
        return entry._replace(deaths=causes) if causes else entry


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
