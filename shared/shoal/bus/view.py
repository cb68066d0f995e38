"""A key-value bucket as one process sees it: read once, followed, and compared with the broker again and again.

A plain subscription to the bucket's writes is only a hint to read what is new; every reconnect and every ten seconds
the view asks for the newest revision and for which stream this is. A bucket that was lost with the broker's store is
made anew. Its emptiness says nothing about the keys: what the view held stays, with revision 0, until it is written
again or, once others have been written again, for a grace of 30 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

from shoal.bus.connection import Bus
from shoal.bus.contents import Contents
from shoal.bus.requests import NoResponders, RequestFailed
from shoal.bus.store import Conflict, Identity, Store, Stored
from shoal.core.errors import Unavailable
from shoal.telemetry.logs import get_logger

#: The whole bucket is compared with the broker this often, whatever was heard.
REREAD_INTERVAL_S = 10.0
#: Between two attempts while JetStream is not ready, as it is for a moment after the broker's start.
RETRY_INTERVAL_S = 0.1
OPEN_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 5.0
#: A hint may come before its write can be read, and never comes true for a refused one: read again after these.
HINT_RETRIES_S = (0.005, 0.02, 0.05, 0.1, 0.2)

#: Called with key, value (None when deleted) and revision (0 when the key is not in the store).
OnChange = Callable[[str, bytes | None, int], None]

_log = get_logger("bus")


class Applied(NamedTuple):
    """How far a view has come: every write up to `revision` of the bucket that was made at `bucket` has been applied
    and told. Revisions of one making of the bucket can be compared, those of two cannot."""

    bucket: str
    revision: int


class View:
    """Made by `open`, ended by `close`. Callbacks run in the event loop, must not block, and may be called from within
    `put`; what they raise is logged."""

    def __init__(
        self,
        bus: Bus,
        bucket: str,
        on_change: OnChange | None,
        on_lost: Callable[[], None] | None,
        key: str | None = None,
    ) -> None:
        self._link = bus.link
        self._store = Store(bus.link, bus.namespace, bucket, key)
        self._bucket = bucket
        self._watchers: list[OnChange] = [on_change] if on_change else []
        self._on_lost = on_lost
        self._contents = Contents()
        self._hints: dict[str, bytes | None] = {}
        self._hint_tries = 0
        self._identity: Identity | None = None
        self._compare_at = 0.0
        self._is_loss_untold = False
        self._catching_up = asyncio.Lock()
        self._wake = asyncio.Event()
        self._subscription = 0
        self._following: asyncio.Task[None] | None = None
        bus.link.watch(self._on_link)

    @classmethod
    async def open(
        cls,
        bus: Bus,
        bucket: str,
        on_change: OnChange | None = None,
        on_lost: Callable[[], None] | None = None,
        *,
        key: str | None = None,
    ) -> View:
        """A view that holds the bucket's content, or of it `key` alone; the bucket is made when missing.

        `on_change` runs for every difference, the initial content and our own writes included; `on_lost` when the
        bucket was lost and made anew, after what is in it again was applied: write again what should be there. Raises
        Unavailable when the broker has no working JetStream within 30 s.
        """
        view = cls(bus, bucket, on_change, on_lost, key)
        try:
            await view._begin()
        except BaseException:
            await view.close()
            raise
        return view

    def get(self, key: str) -> bytes | None:
        """The key's value, None when it is absent or deleted."""
        return self._contents[key].value

    def revision(self, key: str) -> int:
        """What `compare_and_set` takes for this key now: the revision of its last write or deletion, 0 without one."""
        return self._contents[key].revision

    @property
    def applied(self) -> Applied:
        """How far the bucket has been followed; our own writes count once they were read like everybody's."""
        made = self._identity.created if self._identity else ""
        return Applied(made, self._contents.applied_revision)

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Keys that have a value, with it. A snapshot: the view may change meanwhile."""
        return self._contents.items()

    def watch(self, on_change: OnChange) -> None:
        """One more callback for differences from now on."""
        self._watchers.append(on_change)

    async def put(self, key: str, value: bytes) -> int:
        """Write a value, whatever is there; returns its revision, and `get` shows it then. Raises Unavailable when the
        broker does not confirm it within 5 s (it may have happened), InvalidArgument when it is too big."""
        return await self._write(key, value, None)

    async def compare_and_set(self, key: str, value: bytes, revision: int) -> int:
        """`put`, only if the key's last write has this revision (0: there is none). Raises Conflict otherwise."""
        return await self._write(key, value, revision)

    async def delete(self, key: str, revision: int | None = None) -> int:
        """Delete the key for everyone, if `revision` is given only if its last write has it; fine when it is absent.
        Returns the deletion's revision. Raises Unavailable as `put`, Conflict as `compare_and_set`."""
        return await self._write(key, None, revision)

    async def refresh(self) -> None:
        """Compare with the broker now. Raises Unavailable when it cannot answer."""
        self._compare_at = 0.0
        try:
            await self._catch_up()
        except RequestFailed as error:
            raise Unavailable(f"bucket {self._bucket!r} cannot be read: {error}") from error

    async def close(self) -> None:
        """Follow no longer; what was read stays readable. Idempotent."""
        self._link.unwatch(self._on_link)
        task, self._following = self._following, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._subscription:
            await self._link.unsubscribe(self._subscription)
            self._subscription = 0

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + OPEN_TIMEOUT_S
        self._subscription = await self._link.subscribe(self._store.changes, self._on_hint)
        while True:
            try:
                await self._catch_up()
                break
            except RequestFailed as error:
                if loop.time() > deadline:
                    raise Unavailable(
                        f"bucket {self._bucket!r} cannot be read: {error}; does the broker run with JetStream?"
                    ) from error
                await asyncio.sleep(RETRY_INTERVAL_S)
        self._following = loop.create_task(self._follow())

    async def _follow(self) -> None:
        pause_s = REREAD_INTERVAL_S
        while True:
            waiting = asyncio.ensure_future(self._wake.wait())
            try:
                await asyncio.wait({waiting}, timeout=pause_s)
            finally:
                waiting.cancel()
            if self._wake.is_set():
                self._wake.clear()
                self._hint_tries = 0
            pause_s = await self._attempt()

    async def _attempt(self) -> float:
        """Catch up if possible; returns how long to pause unless something happens."""
        if not self._link.is_connected:
            return REREAD_INTERVAL_S
        try:
            await self._catch_up()
        except RequestFailed as error:
            _log.debug("bucket not readable", bucket=self._bucket, error=str(error))
            return RETRY_INTERVAL_S
        except Exception:
            # The task must outlive whatever a broker may answer; the next comparison tries anew.
            _log.exception("bucket not understood", bucket=self._bucket)
            return REREAD_INTERVAL_S
        if self._hints and self._hint_tries < len(HINT_RETRIES_S):
            self._hint_tries += 1
            return HINT_RETRIES_S[self._hint_tries - 1]
        self._hints.clear()
        return max(0.0, self._compare_at - asyncio.get_running_loop().time())

    async def _catch_up(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._catching_up:
            if loop.time() >= self._compare_at:
                await self._compare()
            stored = await self._store.read_from(self._contents.applied_revision + 1)
            self._tell(self._contents.apply(stored, loop.time()))
            self._tell(self._contents.expire(loop.time()))
            shown = [token for token, value in self._hints.items() if self._contents.shows(token, value)]
            for token in shown:
                del self._hints[token]
        if self._is_loss_untold:
            self._is_loss_untold = False
            _log.warning("bucket was lost and made anew", bucket=self._bucket)
            _call(self._on_lost)

    async def _compare(self) -> None:
        """Find out whether the bucket is still the one that was read, and make it when it is missing."""
        identity = await self._store.identify()
        if identity is None:
            await self._store.create()
            identity = await self._store.identify()
            if identity is None:
                raise RequestFailed("the bucket vanished while it was made")
        known, self._identity = self._identity, identity
        if known is not None and (
            identity.created != known.created or identity.last_revision < self._contents.applied_revision
        ):
            self._contents.lose()
            self._is_loss_untold = True
        self._compare_at = asyncio.get_running_loop().time() + REREAD_INTERVAL_S

    async def _write(self, key: str, value: bytes | None, expected_revision: int | None) -> int:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + WRITE_TIMEOUT_S
        is_doubtful = False
        while True:
            try:
                revision = await self._store.write(key, value, expected_revision)
                self._tell(self._contents.apply_own(Stored(key, value, revision)))
                return revision
            except Conflict:
                await self.refresh()
                if is_doubtful and self._contents[key].value == value:
                    return self._contents[key].revision
                raise
            except RequestFailed as error:
                if loop.time() > deadline:
                    raise Unavailable(f"key {key!r} of bucket {self._bucket!r} was not written: {error}") from error
                # An answer that got lost leaves it open whether this write happened.
                is_doubtful = is_doubtful or not isinstance(error, NoResponders)
                self._demand_compare()
                await asyncio.sleep(RETRY_INTERVAL_S)

    def _demand_compare(self) -> None:
        self._compare_at = 0.0
        self._wake.set()

    def _on_link(self, connected: bool) -> None:
        if connected:
            self._demand_compare()

    def _on_hint(self, subject: bytes, data: bytes, header_block: bytes) -> None:
        token, value = self._store.heard(subject, data, header_block)
        if not self._contents.shows(token, value):
            self._hints[token] = value
            self._wake.set()

    def _tell(self, changes: list[Stored]) -> None:
        for change in changes:
            for watcher in list(self._watchers):
                _call(watcher, *change)


def _call(callback: Callable[..., None] | None, *arguments: object) -> None:
    """Run a callback of the view's owner; what it raises is logged, since the view must go on following."""
    try:
        if callback is not None:
            callback(*arguments)
    except Exception:
        _log.exception("view callback failed")
