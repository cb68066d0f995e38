"""One key that one process owns at a time, with an epoch that only grows. Decisions are in `claim`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from shoal.bus.claim import Holder, Situation, decide, decode_holder, encode_holder, next_epoch
from shoal.bus.connection import Bus
from shoal.bus.store import Conflict
from shoal.bus.view import View
from shoal.core.errors import Unavailable
from shoal.telemetry.logs import get_logger

#: A standby looks at the owner this often; it adds to the second after which a silent owner is suspected.
LOOK_INTERVAL_S = 0.05

_log = get_logger("bus")


class Ownership:
    """Stands by for `key` of the view of bucket `ownership`, claims it when nobody owns it, and keeps it.

    The bus must listen to our own role, or no owner would ever look alive. `on_gain(epoch)` is called when the key
    became ours, and again with a higher epoch when it had to be claimed anew because the broker lost its store;
    `on_loss` when somebody else took it over; we stand by again then. Both run in the event loop and must not block.
    """

    def __init__(
        self, bus: Bus, view: View, key: str, on_gain: Callable[[int], None], on_loss: Callable[[], None]
    ) -> None:
        self._bus = bus
        self._view = view
        self._key = key
        self._on_gain = on_gain
        self._on_loss = on_loss
        self._epoch: int | None = None
        self._changed = asyncio.Event()
        self._standing_by: asyncio.Task[None] | None = None

    @property
    def epoch(self) -> int | None:
        """The epoch that we own the key with, None while we do not."""
        return self._epoch

    async def start(self) -> None:
        """Begin to stand by; after `bus.start`. A key that was never owned is ours when this returns, unless another
        candidate was faster."""
        self._view.watch(self._on_change)
        await self._step()
        self._standing_by = asyncio.get_running_loop().create_task(self._stand_by())

    async def release(self) -> None:
        """Give the key up, so that a standby claims it at once, and stand by no longer. Idempotent; `on_loss` is not
        called. A broker that is away is not waited for: the farewell tells the others as well."""
        task, self._standing_by = self._standing_by, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        epoch, self._epoch = self._epoch, None
        if epoch is None or not self._bus.is_connected:
            return
        try:
            await self._view.compare_and_set(
                self._key, encode_holder(Holder("", epoch)), self._view.revision(self._key)
            )
        except (Conflict, Unavailable) as error:
            _log.info("ownership not released", key=self._key, error=str(error))

    async def _stand_by(self) -> None:
        while True:
            waiting = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({waiting}, timeout=LOOK_INTERVAL_S)
            finally:
                waiting.cancel()
            self._changed.clear()
            try:
                await self._step()
            except Exception:
                # Standing by must go on whatever one attempt met; an entry of another release is the likely cause.
                _log.exception("ownership not decided", key=self._key)

    async def _step(self) -> None:
        situation = self._situation()
        action = decide(situation)
        if action == "claim":
            await self._claim(situation)
        elif action == "lose":
            _log.warning("ownership lost", key=self._key, epoch=self._epoch)
            self._epoch = None
            self._on_loss()

    async def _claim(self, situation: Situation) -> None:
        known = situation.holder.epoch if situation.holder else 0
        epoch = next_epoch(max(known, self._epoch or 0), time.time_ns() // 1_000_000)
        entry = encode_holder(Holder(self._bus.incarnation, epoch, self._bus.seat))
        try:
            await self._view.compare_and_set(self._key, entry, self._view.revision(self._key))
        except (Conflict, Unavailable) as error:
            _log.debug("ownership not claimed", key=self._key, error=str(error))
            return
        self._epoch = epoch
        _log.info("ownership claimed", key=self._key, epoch=epoch)
        self._on_gain(epoch)

    def _situation(self) -> Situation:
        value = self._view.get(self._key)
        holder = None if value is None else decode_holder(value)
        peer = self._bus.peers.get(holder.owner) if holder else None
        since = self._bus.connected_since
        return Situation(
            own=self._bus.incarnation,
            seat=self._bus.seat,
            held_epoch=self._epoch,
            holder=holder,
            in_store=self._view.revision(self._key) > 0,
            is_holder_alive=peer is not None and not peer.suspected,
            connected_s=None if since is None else asyncio.get_running_loop().time() - since,
        )

    def _on_change(self, key: str, value: bytes | None, revision: int) -> None:
        if key == self._key:
            self._changed.set()
