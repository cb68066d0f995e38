"""The link of one process to the broker: made once within a deadline, mended for ever, watched by everyone above.

The link counts as connected only when a message to ourselves has come back over it: then the broker knows our
subscriptions, which a flush does not tell. Callbacks given to nats-py never raise: an exception in one of them would
end its read loop or its reconnection silently.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from shoal.bus import subjects
from shoal.bus.client import Client, Receive
from shoal.bus.client_options import client_options
from shoal.bus.nats_py import nats
from shoal.bus.requests import Reply, RequestFailed, Requests
from shoal.bus.settings import BusSettings
from shoal.core.errors import InvalidArgument, Unavailable
from shoal.telemetry.logs import get_logger

#: The message to ourselves is repeated this often until it comes back.
CONFIRM_INTERVAL_S = 0.1
#: How long subscriptions may take to be made, a reconnect in between included.
SETTLE_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 2.0

LinkWatcher = Callable[[bool], None]

_log = get_logger("bus")


class Link:
    """Made by `open`, ended by `close`; belongs to the event loop that it was opened in."""

    def __init__(self, settings: BusSettings, incarnation: str) -> None:
        self._settings = settings
        self._incarnation = incarnation
        self._client = Client()
        self._requests = Requests()
        self._reply_prefix = subjects.replies(settings.namespace, incarnation)
        self._watchers: list[LinkWatcher] = []
        self._confirming: asyncio.Task[None] | None = None
        self._refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connected_since: float | None = None
        self._is_closing = False
        self._heard_count = 0
        self._echo = f"PUB {self._reply_prefix}.echo 0\r\n\r\n".encode()
        self._last_error = ""
        #: Set when the client is closed for good; a process without a link has nothing left to do.
        self.closed = asyncio.Event()
        #: Grows with each reconnect and each notice that messages were dropped.
        self.troubles = 0

    @classmethod
    async def open(cls, settings: BusSettings, incarnation: str) -> Link:
        """A link that is up. Raises Unavailable when the broker does not answer within `connect_timeout_s` or refuses
        us, InvalidArgument when the credentials or certificates cannot be read."""
        link = cls(settings, incarnation)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.connect_timeout_s
        try:
            await link._connect(settings.connect_timeout_s)
            await link._client.subscribe_direct(link._reply_prefix + ".*", link._on_reply)
            if not await link._confirm(deadline):
                raise Unavailable(f"broker at {settings.url} did not deliver a message to ourselves in time")
        except BaseException:
            await link.close()
            raise
        link._connected_since = loop.time()
        return link

    @property
    def is_connected(self) -> bool:
        return self._connected_since is not None

    @property
    def connected_since(self) -> float | None:
        """Loop time at which the link was last made or mended, None while it is down."""
        return self._connected_since

    @property
    def max_payload(self) -> int:
        """The most bytes that the broker takes in one message."""
        return self._client.max_payload

    @property
    def backlog_nbytes(self) -> int:
        """Bytes written that the broker did not take yet."""
        return self._client.backlog_nbytes

    def watch(self, watcher: LinkWatcher) -> None:
        """Call `watcher` with False when the link is lost and with True when it is mended."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: LinkWatcher) -> None:
        """Call `watcher` no longer; fine when it is not called anyway."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def has_heard(self) -> bool:
        """Whether anything came in since this was asked last; sends the next message to ourselves.

        False while a link that counts as connected is stuck: then nobody's silence means anything.
        """
        received_count = self._client.received_count
        has_heard = received_count != self._heard_count
        self._heard_count = received_count
        self.write(self._echo)
        return has_heard

    def write(self, data: bytes) -> None:
        """Write whole PUB commands; dropped while the link is down."""
        if self._connected_since is not None:
            self._client.write_now(data)

    async def subscribe(self, subject: str, receive: Receive) -> int:
        """Deliver messages of `subject`, also after reconnects; returns a number for `unsubscribe`.

        Raises Unavailable when the link is closed for good.
        """
        try:
            return await self._client.subscribe_direct(subject, receive)
        except nats.errors.ConnectionClosedError as error:
            raise Unavailable(f"the link to the broker at {self._settings.url} is closed") from error

    async def unsubscribe(self, number: int) -> None:
        with contextlib.suppress(nats.errors.Error):
            await self._client.unsubscribe_direct(number)

    async def settle(self) -> None:
        """Return once the broker knows every subscription made so far. Raises Unavailable after a while."""
        if not await self._confirm(asyncio.get_running_loop().time() + SETTLE_TIMEOUT_S):
            raise Unavailable(f"broker at {self._settings.url} was lost while subscriptions were being made")

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        headers: dict[str, str] | None = None,
        is_last: Callable[[Reply], bool] = lambda _: True,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> list[Reply]:
        """Ask and gather replies up to the one that `is_last`, by default the first.

        Raises NoResponders when nobody listens, RequestFailed at a timeout or when the link is lost meanwhile.
        """
        token, future = self._requests.open(is_last)
        try:
            await self._publish(subject, payload, f"{self._reply_prefix}.{token}", headers)
            done, _ = await asyncio.wait({future}, timeout=timeout_s)
            if not done:
                raise RequestFailed(f"no answer within {timeout_s} s")
            return future.result()
        finally:
            self._requests.close(token)
            future.cancel()

    async def flush(self) -> None:
        """Return when everything written before has reached the broker, or after `CLOSE_TIMEOUT_S`."""
        if self._client.is_connected:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.flush(timeout=int(CLOSE_TIMEOUT_S))

    async def close(self) -> None:
        """End the link. Idempotent; sets `closed`."""
        self._is_closing = True
        self._connected_since = None
        await self._stop_confirming()
        if self._client.options:  # nats-py cannot close what never began to connect
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.close()
        self._requests.fail_all("the link was closed")
        self.closed.set()

    async def _connect(self, timeout_s: float) -> None:
        options = client_options(self._settings, self._incarnation)
        connecting = asyncio.ensure_future(
            self._client.connect(
                **options,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_closed,
            )
        )
        try:
            first: set[asyncio.Future[Any]] = {connecting, self._refused}
            await asyncio.wait(first, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                return connecting.result()
        except nats.errors.Error as error:
            raise InvalidArgument(f"broker address {self._settings.url!r} is of no use: {error}") from error
        except ImportError as error:
            raise InvalidArgument("a broker credentials file needs the package nkeys: pip install nkeys") from error
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
        raise self._unreachable(timeout_s)

    def _unreachable(self, timeout_s: float) -> Unavailable:
        if self._refused.done():
            return Unavailable(f"broker at {self._settings.url} refused us: {self._refused.result()}")
        return Unavailable(
            f"broker at {self._settings.url} did not answer within {timeout_s:g} s "
            f"({self._client.last_error or 'no connection'}); is nats-server running there?"
        )

    async def _publish(self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None) -> None:
        try:
            await self._client.publish(subject, payload, reply, headers)
        except (nats.errors.Error, OSError) as error:
            raise RequestFailed(str(error)) from error

    async def _confirm(self, deadline: float) -> bool:
        """Whether a message to ourselves came back before the deadline."""
        loop = asyncio.get_running_loop()
        while not self._is_closing and (left_s := deadline - loop.time()) > 0:
            token, future = self._requests.open(lambda _: True)
            try:
                await self._publish(f"{self._reply_prefix}.{token}", b"", "", None)
                done, _ = await asyncio.wait({future}, timeout=min(CONFIRM_INTERVAL_S, left_s))
                if done and future.exception() is None:
                    return True
            except RequestFailed:
                await asyncio.sleep(CONFIRM_INTERVAL_S)
            finally:
                self._requests.close(token)
                future.cancel()
        return False

    def _on_reply(self, subject: bytes, data: bytes, header_block: bytes) -> None:
        self._requests.answer(subject.rpartition(b".")[2].decode(), data, header_block)

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self.troubles += 1
        elif "authorization violation" in str(error).lower() and not self._refused.done():
            self._refused.set_result(str(error))
        text = str(error) or type(error).__name__
        if text != self._last_error:  # an attempt every 50 ms must not fill the log
            self._last_error = text
            _log.debug("broker client reported", error=text)

    async def _on_disconnected(self) -> None:
        was_connected = self._connected_since is not None
        self._connected_since = None
        self._requests.fail_all("the broker link was lost")
        if was_connected and not self._is_closing:
            _log.warning("broker link lost", url=self._settings.url)
            self._tell(False)

    async def _on_reconnected(self) -> None:
        # nats-py awaits this inside its reconnection; what takes time runs in a task of ours.
        await self._stop_confirming()
        if not self._is_closing:
            self._confirming = asyncio.get_running_loop().create_task(self._confirm_reconnect())

    async def _on_closed(self) -> None:
        self._connected_since = None
        if not self._is_closing:
            _log.error("broker link closed for good", error=str(self._client.last_error))
        self.closed.set()

    async def _confirm_reconnect(self) -> None:
        loop = asyncio.get_running_loop()
        while not await self._confirm(loop.time() + SETTLE_TIMEOUT_S):
            if self._is_closing or not self._client.is_connected:
                return
            _log.warning("broker delivers nothing to us", url=self._settings.url)
        self.troubles += 1
        self._connected_since = loop.time()
        _log.info("broker link mended", url=self._settings.url, troubles=self.troubles)
        self._tell(True)

    async def _stop_confirming(self) -> None:
        task, self._confirming = self._confirming, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _tell(self, connected: bool) -> None:
        for watcher in list(self._watchers):
            try:
                watcher(connected)
            except Exception:
                _log.exception("link watcher failed")
