"""Small values by key that every gateway knows alike: settings, registered regions.

They live in the bucket `gateways`. A writer reads its writes at every gateway: each tells in its heartbeat how far it
has followed the bucket, at once when something changed, and a write returns when every live one has come so far.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from shoal.bus import Bus, Conflict, PeerEvent, View
from shoal.core.errors import ShoalError, Unavailable
from shoal.core.messages import NOTHING_CONFIRMED
from shoal.core.stamped import GATEWAYS, decode, encode, stamped
from shoal.gateway.rereading import Rereading
from shoal.gateway.shared_entries import SharedEntries
from shoal.telemetry.logs import get_logger

#: How long a writer waits for the others' confirmations: as long as silence takes to make one suspected.
CONFIRMED_WITHIN_S = 1.0
#: Between two attempts to write again what should be in the bucket.
_AGAIN_INTERVAL_S = 0.2
#: A key that others write all the time is given up after so many attempts.
_ATTEMPTS = 16

#: Key, and value or None when it was deleted.
OnChange = Callable[[str, bytes | None], None]

_ROLE = "gateway"
_log = get_logger("gateway")


class _Watcher(NamedTuple):
    prefix: str
    on_change: OnChange


class SharedState:
    """`watch` before `open`, `open` after the bus has started, `close` at the end. Use from the event loop's thread.

    What writes raises Unavailable when the broker does not take it within 5 s; it may have happened then.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._entries = SharedEntries()
        self._watchers: list[_Watcher] = []
        self._opened: tuple[View, Rereading] | None = None
        #: Keys whose value in the bucket is not the one that counts.
        self._wrong: set[str] = set()
        self._something_wrong = asyncio.Event()
        self._righting: asyncio.Task[None] | None = None
        self._peers_moved = asyncio.Event()

    def watch(self, prefix: str, on_change: OnChange) -> None:
        """Call for every key with this prefix that is there at `open`, and for every change, our own included. Runs in
        the event loop and must not block; what it raises is logged."""
        self._watchers.append(_Watcher(prefix, on_change))

    @property
    def confirmed(self) -> tuple[str, int]:
        """For the heartbeat: how far the bucket has been followed."""
        return NOTHING_CONFIRMED if self._opened is None else self._opened[0].applied

    async def open(self) -> None:
        """Read the bucket. Raises Unavailable when the broker has no working JetStream."""
        self._bus.watch_peers(self._on_peer)
        view = await View.open(self._bus, GATEWAYS, self._on_entry, self._on_lost)
        self._opened = view, Rereading(self._bus, view)
        self._righting = asyncio.get_running_loop().create_task(self._right())
        self._bus.beat()

    async def close(self) -> None:
        """Follow no longer; what was read stays readable. Idempotent."""
        if self._righting is not None:
            self._righting.cancel()
            await asyncio.gather(self._righting, return_exceptions=True)
            self._righting = None
        if self._opened is not None:
            view, rereading = self._opened
            rereading.close()
            await view.close()

    def get(self, key: str) -> bytes | None:
        entry = self._entries[key]
        return None if entry is None else entry.value

    async def put(self, key: str, value: bytes) -> None:
        """Write a value, whatever is there. Returns when every live gateway has it, after 1 s at most."""
        await self._until_confirmed(await self._view.put(key, encode(stamped(value))))

    async def create(self, key: str, value: bytes) -> bool:
        """`put`, unless the key has a value: then nothing is written, and False is returned."""
        return await self.update(key, lambda found: value if found is None else None)

    async def update(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bool:
        """`put` what `change` makes of the value that is there (None: there is none), with nobody's write in between;
        it is asked again when there was one. It gives None to leave the key alone: then False is returned.

        Raises Unavailable when others write the key all the time, and what `change` raises.
        """
        for _ in range(_ATTEMPTS):
            value = change(self.get(key))
            if value is None:
                return False
            with contextlib.suppress(Conflict):
                revision = await self._view.compare_and_set(key, encode(stamped(value)), self._view.revision(key))
                await self._until_confirmed(revision)
                return True
        raise Unavailable(f"'{key}' is written by others all the time; try again")

    async def delete(self, *keys: str) -> None:
        """Delete keys; fine when they are absent. Confirmed as `put`."""
        if any(self._entries[key] is None for key in keys):
            await self.refresh()
        for key in keys:
            if self._entries[key] is not None:
                await self._view.delete(key)
        await self._until_confirmed(max((self._view.revision(key) for key in keys), default=0))

    async def refresh(self) -> None:
        """Compare with the broker, before anything is denied that another gateway may have confirmed just now; many who
        ask at once share one reading. Returns without one while the broker cannot answer."""
        if self._opened is not None:
            await self._opened[1].read_again()

    @property
    def _view(self) -> View:
        if self._opened is None:
            raise Unavailable("the gateway has not read the shared state yet; try again")
        return self._opened[0]

    async def _until_confirmed(self, revision: int) -> None:
        bucket = self._view.applied.bucket
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONFIRMED_WITHIN_S):
                while not self._is_confirmed(bucket, revision):
                    self._peers_moved.clear()
                    await self._peers_moved.wait()

    def _is_confirmed(self, bucket: str, revision: int) -> bool:
        told = (p.heartbeat.confirmed for p in self._bus.peers.values() if p.role == _ROLE and not p.suspected)
        return all(made == bucket and applied >= revision for made, applied in told)

    def _on_peer(self, event: PeerEvent) -> None:
        if event.peer.role == _ROLE:
            self._peers_moved.set()

    def _on_entry(self, key: str, value: bytes | None, revision: int) -> None:
        self._bus.beat()
        now = asyncio.get_running_loop().time()
        if value is not None:
            verdict = self._entries.take(key, decode(value), now)
        elif revision > 0:
            verdict = self._entries.drop(key, now)
        else:
            verdict = "old"  # given up by the view, since nobody has written it again: we do
        if verdict == "old":
            self._set_right([key])
        elif verdict == "news":
            self._tell(key)

    def _on_lost(self) -> None:
        self._set_right(self._entries.keys())

    def _tell(self, key: str) -> None:
        value = self.get(key)
        for watcher in self._watchers:
            if key.startswith(watcher.prefix):
                try:
                    watcher.on_change(key, value)
                except Exception:
                    # One watcher's trouble must not keep the change from the others.
                    _log.exception("watcher of shared state failed", key=key)

    def _set_right(self, keys: Iterable[str]) -> None:
        self._wrong.update(keys)
        self._something_wrong.set()

    async def _right(self) -> None:
        while True:
            await self._something_wrong.wait()
            self._something_wrong.clear()
            for key in list(self._wrong):
                try:
                    await self._write_again(key)
                    self._wrong.discard(key)
                except Conflict:
                    continue  # the view has read what was written meanwhile
                except ShoalError as error:
                    _log.warning("shared value not written again", key=key, reason=error.message)
            if self._wrong:
                self._something_wrong.set()
                await asyncio.sleep(_AGAIN_INTERVAL_S)

    async def _write_again(self, key: str) -> None:
        """Write what counts for this key, unless the bucket holds it. Raises Conflict when somebody was faster."""
        entry, revision = self._entries[key], self._view.revision(key)
        value = None if entry is None else encode(entry)
        if value == self._view.get(key) and (revision > 0 or value is None):
            return
        if value is None:
            await self._view.delete(key, revision)
        else:
            await self._view.compare_and_set(key, value, revision)
