"""Notices clients that leave while their request is executed, at no cost for requests that are answered soon.

ASGI tells of a disconnect only to who waits for it. Waiting takes a task; so a look round ten times a second starts
one for those requests alone that have been waiting since the look before.
"""

from __future__ import annotations

import asyncio
from typing import Any

from shoal.gateway.http.asgi import Receive

LOOK_INTERVAL_S = 0.1


class Watch:
    """One request whose body was read completely. `is_gone` tells why its task was cancelled."""

    __slots__ = ("_receive", "_task", "_waiting", "is_gone", "is_old")

    def __init__(self, receive: Receive, task: asyncio.Task[Any]) -> None:
        self._receive = receive
        self._task = task
        self._waiting: asyncio.Task[None] | None = None
        self.is_gone = False
        self.is_old = False

    def look(self) -> None:
        """The second look starts the waiting."""
        if self.is_old and self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_task(self._wait())
        self.is_old = True

    def end(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        self._task.cancel()


class Disconnects:
    """All requests that are being executed. `close` at the end."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, receive: Receive) -> Watch:
        """Watch the current task's client until `unwatch`: the task is cancelled when the client has left, with
        `is_gone` set. Nobody else may call `receive` meanwhile."""
        task = asyncio.current_task()
        assert task is not None  # a coroutine that runs has a task
        watch = Watch(receive, task)
        self._watches.add(watch)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL_S, self._look)
        return watch

    def unwatch(self, watch: Watch) -> None:
        self._watches.discard(watch)
        watch.end()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches:
            watch.end()

    def _look(self) -> None:
        self._timer = None
        if self._watches:
            for watch in self._watches:
                watch.look()
            self._timer = asyncio.get_running_loop().call_later(LOOK_INTERVAL_S, self._look)
