"""gRPC as HTTP/2 frames on a socket: calls are sent as they are, right or wrong, many at once on one connection."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from http_wire import ANSWER_WITHIN_S, Ended, Hang, Malformed

_QUIET_S = 0.05
_PLAIN_STATUS = re.compile(rb"[0-9]|1[0-6]")

Headers = tuple[tuple[bytes, bytes], ...]


class Call(NamedTuple):
    """One call. `data` is what is sent of the body, message prefixes included. `ends`: our side is closed after it;
    otherwise the call is cancelled after a moment. `is_due`: a status must come; without it the stream may also be
    reset. Headers in `metadata` come instead of the usual ones of that name."""

    path: bytes
    data: bytes
    ends: bool = True
    is_due: bool = True
    metadata: Headers = ()

    def __repr__(self) -> str:
        data = self.data if len(self.data) < 3000 else self.data[:3000] + b"<%d more>" % (len(self.data) - 3000)
        return f"Call({self.path!r}, {data!r}, ends={self.ends}, is_due={self.is_due}, metadata={self.metadata!r})"


class GrpcAnswer(NamedTuple):
    """`status` is None when the stream was reset. `messages` are those received, without their prefixes."""

    status: int | None
    text: str
    messages: tuple[bytes, ...]


@dataclass
class _Stream:
    call: Call
    unsent: memoryview
    headers: dict[bytes, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)
    is_over: bool = False
    is_reset: bool = False
    is_sent: bool = False


class GrpcClient:
    """One connection after another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: dict[int, _Stream] = {}
        self._connection: H2Connection | None = None
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, calls: Sequence[Call]) -> list[GrpcAnswer]:
        """Send all calls at once; the answers in their order. Raises Malformed, Hang, Ended."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await self._ask(calls)
        except TimeoutError as error:
            waiting = [stream.call for stream in self._streams.values() if not stream.is_over]
            await self.close()
            raise Hang(f"no status within {ANSWER_WITHIN_S:.0f} s for {waiting[:3]}") from error
        except ProtocolError as error:
            has_ended = self._connection is not None and self._connection.state_machine.state.name == "CLOSED"
            await self.close()
            if has_ended:
                raise Ended(f"the connection ended: {error}") from error
            raise Malformed(f"{type(error).__name__}: {error}") from error
        except (ConnectionError, Ended) as error:
            await self.close()
            raise Ended(f"the connection ended with calls unanswered: {error}") from error

    async def close(self) -> None:
        link, self._link, self._connection = self._link, None, None
        if link is not None:
            link[1].transport.abort()
            await asyncio.sleep(0)

    async def _ask(self, calls: Sequence[Call]) -> list[GrpcAnswer]:
        h2, reader, writer = await self._connected()
        self._streams = {}
        for call in calls:
            number = h2.get_next_available_stream_id()
            self._streams[number] = _Stream(call, memoryview(call.data))
            h2.send_headers(number, _headers(call), end_stream=call.ends and not call.data)
        while not all(stream.is_over for stream in self._streams.values()):
            self._pump(h2)
            await _write(writer, h2.data_to_send())
            await self._receive(h2, reader)
        return [_answer(stream) for stream in self._streams.values()]

    async def _connected(self) -> tuple[H2Connection, asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None or self._link is None or self._link[1].transport.is_closing():
            self._link = await asyncio.open_connection("127.0.0.1", self._port)
            config = H2Configuration(
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                split_outbound_cookies=False,
                # grpcio's own server leaves spaces at the ends of texts, and clients of gRPC do not mind.
                validate_inbound_headers=False,
            )
            self._connection = H2Connection(config)
            self._connection.initiate_connection()
        return self._connection, *self._link

    def _pump(self, h2: H2Connection) -> None:
        """Send of every call what the windows allow."""
        for number, stream in self._streams.items():
            while stream.unsent and not stream.is_over:
                nbytes = min(h2.local_flow_control_window(number), h2.max_outbound_frame_size, len(stream.unsent))
                if nbytes <= 0:
                    break
                chunk, stream.unsent = stream.unsent[:nbytes], stream.unsent[nbytes:]
                h2.send_data(number, chunk.tobytes(), end_stream=stream.call.ends and not stream.unsent)
            if not stream.unsent and not stream.is_sent:
                stream.is_sent = True
                if not stream.call.ends and not stream.is_over:
                    asyncio.get_running_loop().call_later(_QUIET_S, self._cancel, h2, number)

    def _cancel(self, h2: H2Connection, number: int) -> None:
        stream = self._streams.get(number)
        if h2 is not self._connection or self._link is None or stream is None or stream.is_over:
            return
        with contextlib.suppress(ProtocolError):
            h2.reset_stream(number, ErrorCodes.CANCEL)
        stream.is_over = stream.is_reset = True
        if not self._link[1].transport.is_closing():
            self._link[1].write(h2.data_to_send())

    async def _receive(self, h2: H2Connection, reader: asyncio.StreamReader) -> None:
        """Take what came. Raises Ended."""
        # Woken up for calls that were cancelled meanwhile.
        try:
            data = await asyncio.wait_for(reader.read(65536), 2 * _QUIET_S)
        except TimeoutError:
            return
        if not data:
            raise Ended("closed by the server")
        for event in h2.receive_data(data):
            self._take(h2, event)

    def _take(self, h2: H2Connection, event: Event) -> None:
        if isinstance(event, ConnectionTerminated) and event.error_code != ErrorCodes.NO_ERROR:
            raise Ended(f"GOAWAY with {event.error_code!r} {event.additional_data!r}")
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if stream is None:
            return
        if isinstance(event, ResponseReceived | TrailersReceived):
            stream.headers |= dict(event.headers or ())
        elif isinstance(event, DataReceived):
            stream.data += event.data or b""
            h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, StreamEnded):
            stream.is_over = True
        elif isinstance(event, StreamReset):
            # After its status a server may reset what is still being sent.
            stream.is_over, stream.is_reset = True, b"grpc-status" not in stream.headers


async def provoke(port: int, pieces: Sequence[bytes]) -> bool:
    """Send bytes on a connection of their own and close our side; whether the server then ends it in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            with contextlib.suppress(TimeoutError):
                while await asyncio.wait_for(reader.read(65536), _QUIET_S):
                    pass
            writer.write_eof()
            while await reader.read(65536):
                pass
    except TimeoutError:
        return False
    except OSError:
        return True
    finally:
        writer.transport.abort()
    return True


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.transport.is_closing():
        raise Ended("closed by the server")
    writer.write(data)
    await writer.drain()


def frame(message: bytes, flag: int = 0) -> bytes:
    """A message with its prefix."""
    return bytes((flag,)) + len(message).to_bytes(4) + message


def _headers(call: Call) -> list[tuple[bytes, bytes]]:
    usual = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", call.path),
        (b":authority", b"a"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ]
    own = {name for name, _ in call.metadata}
    pseudo = [pair for pair in call.metadata if pair[0].startswith(b":")]
    rest = [pair for pair in call.metadata if not pair[0].startswith(b":")]
    head = [pair for pair in usual if pair[0].startswith(b":") and pair[0] not in own]
    return [*head, *pseudo, *(pair for pair in usual if not pair[0].startswith(b":") and pair[0] not in own), *rest]


def _answer(stream: _Stream) -> GrpcAnswer:
    headers = stream.headers
    if stream.is_reset or not stream.is_over:
        return GrpcAnswer(None, "reset", ())
    if b"grpc-status" not in headers:
        return GrpcAnswer(None, f"HTTP {headers.get(b':status', b'?').decode('latin-1')} without a grpc-status", ())
    if headers.get(b":status") != b"200" or not headers.get(b"content-type", b"").startswith(b"application/grpc"):
        raise Malformed(f"headers of the answer: {headers!r}")
    if not _PLAIN_STATUS.fullmatch(headers[b"grpc-status"]):
        raise Malformed(f"grpc-status {headers[b'grpc-status']!r}")
    text = unquote_to_bytes(headers.get(b"grpc-message", b"")).decode()
    return GrpcAnswer(int(headers[b"grpc-status"]), text, _messages(bytes(stream.data)))


def _messages(data: bytes) -> tuple[bytes, ...]:
    messages = []
    while data:
        nbytes = int.from_bytes(data[1:5])
        if data[0] not in (0, 1) or len(data) < 5 + nbytes:
            raise Malformed(f"answer frame {data[:20]!r}")
        messages.append(data[5 : 5 + nbytes])
        data = data[5 + nbytes :]
    return tuple(messages)
