"""The open requests of which some responses are here and others are to come. Pure; times as in `OpenRequests`.

Such a request is between us and whoever answers it: it is not executed again, and no scheduler is asked after it. What
was lost on the way is sent again when a response comes too early, or unasked when none is taken; and when the process
ends, which its agent tells us as it tells schedulers, the request fails at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from shoal.core.messages import OUT_OF_ORDER
from shoal.gateway.open_request import OpenRequest, Repeat
from shoal.gateway.progress import Arrival, Progress

#: After a process has ended, its last messages may still be on their way.
LAST_WORDS_S = 0.2
#: How long it is remembered who has ended: longer than agents tell of it.
REMEMBERED_S = 60.0
#: A request that has not moved for this long is asked after, this often: its process may have forgotten it.
QUIET_S = 5.0
_LOOK_S = 1.0


class BegunRequests:
    """`arrived`, `end`, `scheduler_is`, `process_ended` and `process_appeared` are the doors of change."""

    def __init__(self) -> None:
        self._requests: dict[int, OpenRequest] = {}
        #: Since when, and why, processes are gone that may have been answering something.
        self._gone: dict[str, tuple[float, str]] = {}
        #: Whoever was an owner of the models: what they answer are the steps of ensembles.
        self._schedulers: set[str] = set()
        self._looked_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._requests or self._gone)

    def arrived(self, request: OpenRequest, sender: str, index: int, now: float) -> Arrival:
        """Judge one of several responses; the first that is the next one decides who gives the others."""
        if request.progress is not None:
            return request.progress.arrived(sender, index, now)
        is_relayed = sender in self._schedulers
        if is_relayed and sender != request.sent_to:
            return Arrival.OTHERS
        if index not in (0, OUT_OF_ORDER):
            return Arrival.AHEAD
        request.progress = Progress(sender, is_relayed, now)
        self._requests[request.counter] = request
        return request.progress.arrived(sender, index, now)

    def end(self, counter: int) -> None:
        self._requests.pop(counter, None)

    def scheduler_is(self, incarnation: str) -> None:
        """This process owns the models, or has."""
        self._schedulers.add(incarnation)

    def process_ended(self, incarnation: str, cause: str, now: float) -> None:
        """A process that may answer requests is gone; told as often as anybody likes."""
        self._gone.setdefault(incarnation, (now, cause))

    def process_appeared(self, incarnation: str) -> None:
        """A process is heard, perhaps again after so long a silence that it was taken for gone."""
        self._gone.pop(incarnation, None)

    def doomed(self, now: float) -> list[tuple[OpenRequest, str]]:
        """The requests whose process is gone, with the cause."""
        if not self._gone:
            return []
        for who in [who for who, (since, _) in self._gone.items() if now - since >= REMEMBERED_S]:
            del self._gone[who]
        return list(self._doomed(now))

    def _doomed(self, now: float) -> Iterator[tuple[OpenRequest, str]]:
        for request in self._requests.values():
            assert request.progress is not None
            since, cause = self._gone.get(request.progress.by, (now, ""))
            if now - since >= LAST_WORDS_S:
                yield request, cause

    def quiet(self, now: float) -> list[Repeat]:
        """Ask whoever answers for what may be lost, or for the news that it knows nothing of the request."""
        if now - self._looked_at < _LOOK_S:
            return []
        self._looked_at = now
        found = []
        for request in self._requests.values():
            progress = request.progress
            assert progress is not None
            if progress.is_quiet(now, QUIET_S):
                progress.asked_at = now
                found.append(Repeat(progress.by, request.counter))
        return found
