"""Keeps a bucket as the repository wants it, through broker outages and losses of the store."""

from __future__ import annotations

import asyncio

from shoal.bus import Bus, View
from shoal.core.errors import Unavailable
from shoal.telemetry.logs import get_logger

#: Between two attempts at a write that the broker did not take.
_RETRY_S = 0.5

_log = get_logger("repository")


class Publisher:
    """Remembers what each key should hold and writes it until it is there. Made by `open`, ended by `close`.

    Only the owner of the repository may give it work; `forget` is for the moment when the ownership is lost.
    """

    def __init__(self) -> None:
        self._wanted: dict[str, bytes | None] = {}
        self._unwritten: set[str] = set()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._view: View
        #: Ends only by `close`, or with an error that is a mistake of ours.
        self.writing: asyncio.Task[None]

    @classmethod
    async def open(cls, bus: Bus, bucket: str) -> Publisher:
        """A publisher for the bucket. When the bucket is lost with the broker's store, everything is written again.
        Raises Unavailable when the broker does not answer."""
        publisher = cls()
        publisher._view = await View.open(bus, bucket, on_lost=publisher._write_all)
        publisher.writing = asyncio.create_task(publisher._write(), name=f"publish {bucket}")
        return publisher

    def published(self) -> dict[str, bytes]:
        """What the bucket holds now, by key."""
        return dict(self._view.items())

    def put(self, key: str, value: bytes) -> None:
        self._wanted[key] = value
        self._mark({key})

    def delete(self, key: str) -> None:
        self._wanted[key] = None
        self._mark({key})

    async def written(self) -> None:
        """Wait until the bucket holds everything that was put: as long as the broker stays away."""
        await self._idle.wait()

    def forget(self) -> None:
        """Write nothing more: the bucket is somebody else's now."""
        self._wanted.clear()
        self._unwritten.clear()

    async def close(self) -> None:
        """Write nothing more. Idempotent."""
        self.writing.cancel()
        await asyncio.wait({self.writing})
        await self._view.close()

    def _write_all(self) -> None:
        self._mark(set(self._wanted))

    def _mark(self, keys: set[str]) -> None:
        self._unwritten |= keys
        if self._unwritten:
            self._idle.clear()
            self._work.set()

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._unwritten:
                await self._write_one(self._unwritten.pop())
            self._idle.set()

    async def _write_one(self, key: str) -> None:
        value = self._wanted.get(key)
        try:
            if value is None:
                await self._delete(key)
            elif self._view.get(key) != value or not self._view.revision(key):
                await self._view.put(key, value)
        except Unavailable as error:
            _log.warning("entry not written yet", key=key, reason=error.message)
            await asyncio.sleep(_RETRY_S)
            if key in self._wanted:
                self._mark({key})

    async def _delete(self, key: str) -> None:
        if self._view.get(key) is not None:
            await self._view.delete(key)
