"""Clients that stop in the middle of a request: their connections are closed, and what they declared is free again.

A server that waits for them would hold their place in the admission for ever: one head that declares all the bytes that
a gateway takes on would keep everybody else out. A look at every connection now and then costs requests nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol, cast

#: A client that has sent nothing for so long does not come back: TCP itself would have tried again a dozen times.
SILENCE_S = 60.0
_LOOK_INTERVAL_S = 5.0


class Connection(Protocol):
    """What is looked at: `heard_at` by the event loop's clock."""

    heard_at: float

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing happens before the client sends more."""
        ...

    def give_up(self) -> None:
        """Close it, with an answer if one is due."""
        ...


class StalledClients:
    """Looks after `connections`, a collection that changes, from `open` to `close`."""

    # uvicorn's set of connections, whose type names protocols that are not ours.
    def __init__(self, connections: Iterable[Any]) -> None:
        self._connections = cast(Iterable[Connection], connections)
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_INTERVAL_S, self._look)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def give_up(self, now: float) -> None:
        """Close what has been silent for too long."""
        silent_since = now - SILENCE_S
        # Closing takes a connection out of the collection.
        for connection in [each for each in self._connections if each.heard_at < silent_since]:
            if connection.waits_for_client:
                connection.give_up()

    def _look(self) -> None:
        self.give_up(asyncio.get_running_loop().time())
        self.open()
