"""A TCP proxy in front of the broker that knows whose connection is whose and which messages pass on it.

Every process of a server is given the proxy as its broker; faults hit the connections of one role, by the name that a
client gives when it connects. A message is dropped whole, as a broker drops it: the link stays.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from enum import Enum, auto
from typing import Any, NamedTuple, TypeVar

from shoal.bus.frames import FrameError, is_fragment, read_bundle
from shoal.core.encoding import SCHEMA
from shoal.core.messages import Message

_READ_NBYTES = 256 * 1024
_CALL_TIMEOUT_S = 10.0
_CRLF = b"\r\n"
#: Close by a reset instead of a farewell: linger for no time at all.
_RESET = struct.pack("ii", 1, 0)
_WITH_PAYLOAD = (b"MSG", b"HMSG", b"PUB", b"HPUB")
_TYPES = {number: message for message, (number, _) in SCHEMA.items()}

T = TypeVar("T")


class Passing(NamedTuple):
    """A message on its way: whose connection it is on, whether it goes to the broker, its subject, and the kinds of
    ours in it, none for a fragment and for messages of the broker itself."""

    client: str
    to_broker: bool
    subject: str
    kinds: frozenset[type[Message]]


class _State(Enum):
    PASSING = auto()
    #: Nothing moves in either direction; nothing is lost either.
    STALLED = auto()
    #: Everything is swallowed, and no end of one side reaches the other: a host that vanished.
    VANISHED = auto()


class Proxy:
    """Listens on a free port of the loopback interface while it is entered; `port` is where.

    `drop` is asked, in the proxy's thread, about every message and may be set at any time; `dropped` counts what it
    chose by kind. All methods may be called from any thread, and block until they have their effect.
    """

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.drop: Callable[[Passing], bool] | None = None
        self.dropped: Counter[type[Message]] = Counter()

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._await(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_TIMEOUT_S)
        self._loop.close()

    def cut(self, role: str) -> int:
        """Reset the connections of this role on both sides; returns how many there were."""
        return self._call(lambda: self._each(role, _Connection.reset))

    def stall(self, role: str) -> int:
        """Let nothing pass on the connections that this role has now; new ones work."""
        return self._call(lambda: self._each(role, lambda connection: connection.turn(_State.STALLED)))

    def resume(self, role: str) -> int:
        """Let everything pass again that was held back."""
        return self._call(lambda: self._each(role, lambda connection: connection.turn(_State.PASSING)))

    def vanish(self, role: str) -> int:
        """Swallow everything on the connections that this role has now; new ones work."""
        return self._call(lambda: self._each(role, lambda connection: connection.turn(_State.VANISHED)))

    def should_drop(self, passing: Passing) -> bool:
        if self.drop is None or not self.drop(passing):
            return False
        self.dropped.update(passing.kinds)
        return True

    def _each(self, role: str, act: Callable[[_Connection], None]) -> int:
        found = [connection for connection in self._connections if connection.client.startswith(f"{role}-")]
        for connection in found:
            act(connection)
        return len(found)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ_NBYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker = await asyncio.open_connection("127.0.0.1", self._broker_port, limit=_READ_NBYTES)
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self, (reader, writer), broker)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            connection.reset()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _call(self, act: Callable[[], T]) -> T:
        async def call() -> T:
            return act()

        return self._await(call())

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_TIMEOUT_S)


class _Connection:
    """One client's connection and the one to the broker that stands for it."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client_side, self._broker_side = client, broker
        self._state = _State.PASSING
        self._moving = asyncio.Event()
        self._moving.set()
        self.client = ""

    async def run(self) -> None:
        """Relay until either side ends."""
        relays = [
            asyncio.create_task(self._relay(self._client_side[0], self._broker_side[1], to_broker=True)),
            asyncio.create_task(self._relay(self._broker_side[0], self._client_side[1], to_broker=False)),
        ]
        try:
            await asyncio.wait(relays, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for relay in relays:
                relay.cancel()
            await asyncio.gather(*relays, return_exceptions=True)

    def turn(self, state: _State) -> None:
        self._state = state
        (self._moving.clear if state is _State.STALLED else self._moving.set)()

    def reset(self) -> None:
        _reset(self._client_side[1])
        _reset(self._broker_side[1])

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to_broker: bool) -> None:
        buffer = bytearray()
        try:
            while data := await reader.read(_READ_NBYTES):
                await self._moving.wait()
                if self._state is _State.VANISHED:
                    continue
                buffer += data
                kept = [frame for frame in _take_frames(buffer) if not self._is_dropped(frame, to_broker)]
                writer.write(b"".join(kept))
                await writer.drain()
        except OSError:
            return
        if self._state is _State.VANISHED:
            await asyncio.Event().wait()

    def _is_dropped(self, frame: bytes, to_broker: bool) -> bool:
        words = frame[: frame.index(_CRLF)].split()
        if words[0] == b"CONNECT":
            self.client = json.loads(frame[len(b"CONNECT ") :])["name"]
        if words[0] not in _WITH_PAYLOAD or self._proxy.drop is None:
            return False
        payload = frame[frame.index(_CRLF) + 2 : -2]
        return self._proxy.should_drop(Passing(self.client, to_broker, words[1].decode(), _kinds(payload)))


def _take_frames(buffer: bytearray) -> Iterator[bytes]:
    """Take the whole protocol messages out of the buffer: a line each, with the payload where there is one."""
    start = 0
    while (end := buffer.find(_CRLF, start)) >= 0:
        words = buffer[start:end].split()
        size = end + 2 - start
        if words and bytes(words[0]) in _WITH_PAYLOAD:
            size += int(words[-1]) + 2
        if start + size > len(buffer):
            break
        yield bytes(buffer[start : start + size])
        start += size
    del buffer[:start]


def _kinds(payload: bytes) -> frozenset[type[Message]]:
    if is_fragment(payload):
        return frozenset()
    try:
        _, parts = read_bundle(payload)
    except FrameError:
        return frozenset()
    return frozenset(_TYPES[part.kind] for part in parts if part.kind in _TYPES)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
