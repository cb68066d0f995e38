"""The inputs in shared memory that outlive their requests: answered or given up, while somebody may still read them.

Pure. A request that ended says nothing about its inputs: the executor may be reading them for a client that has left.
The scheduler alone knows, so a block goes when the scheduler that was told of the request last says so, in whatever
words (see `Closed`), and never for want of news: without an owner or a link for an hour, blocks are kept for an hour.

In no case does that grow without bound. Without a scheduler nothing is sent, so that no block joins those that are
kept; with one that confirms nothing, `KEPT_LIMIT` and the limit of the arena refuse new requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shoal.gateway.limits import MAX_REQUESTS

#: With so many blocks kept no request with inputs in shared memory is taken on.
KEPT_LIMIT = 2 * MAX_REQUESTS


class _Hold(NamedTuple):
    """One block. `scheduler` was told of its request last; times as in `OpenRequests`."""

    generation: int
    scheduler: str
    opened_at: float


class InputHolds:
    """Blocks by the counter of their request. `keep`, `closed` and `ask` are the doors of change."""

    def __init__(self) -> None:
        self._holds: dict[int, _Hold] = {}

    def __len__(self) -> int:
        return len(self._holds)

    def keep(self, counter: int, generation: int, scheduler: str, opened_at: float) -> None:
        """Keep the block of a request that has just ended and that `scheduler` may still have."""
        self._holds[counter] = _Hold(generation, scheduler, opened_at)

    def closed(self, sender: str, counters: Iterable[int]) -> list[int]:
        """Nobody reads the inputs of these requests, says `sender`; the generations to be freed.

        A former scheduler does not speak for the one that was asked since.
        """
        freed: list[int] = []
        for counter in counters:
            hold = self._holds.get(counter)
            if hold is not None and hold.scheduler == sender:
                del self._holds[counter]
                freed.append(hold.generation)
        return freed

    def ask(self, scheduler: str, opened_by: float) -> tuple[int, ...]:
        """The requests that were opened by this time, to be asked after at `scheduler`: its word counts from now on."""
        asked = tuple(counter for counter, hold in self._holds.items() if hold.opened_at <= opened_by)
        for counter in asked:
            self._holds[counter] = self._holds[counter]._replace(scheduler=scheduler)
        return asked
