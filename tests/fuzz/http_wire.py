"""HTTP/1.1 as bytes on a socket: sent as they are, and a reader that takes nothing but well-formed answers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import NamedTuple

#: No answer within this time is a hang.
ANSWER_WITHIN_S = 20.0
#: After bytes that may ask for nothing: this long without a byte, then the fuzzer closes its side.
_QUIET_S = 0.05
_HEAD_LIMIT_NBYTES = 2**16
_KEPT_S = 20.0
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t\x80-\xff]*?)[ \t]*")


class Exchange(NamedTuple):
    """What is sent on one connection. `due` has a value for each answer that must come, True where it has no body
    (HEAD); None when the server may make of the bytes what it likes, as long as it ends. With `is_slow` the pieces
    come with pauses."""

    pieces: tuple[bytes, ...]
    due: tuple[bool, ...] | None
    is_slow: bool = False

    def __repr__(self) -> str:
        shown = [
            piece if len(piece) < 3000 else piece[:3000] + b"<%d more>" % (len(piece) - 3000) for piece in self.pieces
        ]
        return f"Exchange(pieces={shown}, due={self.due}, is_slow={self.is_slow})"


class HttpAnswer(NamedTuple):
    """`headers` have lower-case names. `is_last`: the server closes the connection after it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    is_last: bool


class Malformed(Exception):
    """What came is not HTTP/1.1."""


class Hang(Exception):
    """Neither an answer nor an end in time."""


class Ended(Exception):
    """An answer was due, and the connection ended."""


class HttpClient:
    """One connection after another, each kept for as long as the server keeps it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._asked_at = 0.0

    async def ask(self, exchange: Exchange) -> list[HttpAnswer]:
        """The answers, in order. Raises Malformed, Hang, Ended."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await (
                    self._provoke(exchange) if exchange.due is None else self._exchange(exchange, exchange.due)
                )
        except TimeoutError as error:
            await self.close()
            raise Hang(f"neither an answer nor an end within {ANSWER_WITHIN_S:.0f} s") from error

    async def close(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()
            await asyncio.sleep(0)

    async def _exchange(self, exchange: Exchange, due: tuple[bool, ...]) -> list[HttpAnswer]:
        # A server closes what is idle, and the news of that may not have been read yet.
        if time.monotonic() > self._asked_at + _KEPT_S:
            await self.close()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=_HEAD_LIMIT_NBYTES)
        reader, writer = self._streams
        # A server may refuse before everything was sent, and close.
        with contextlib.suppress(ConnectionError):
            await _send(writer, exchange)
        answers: list[HttpAnswer] = []
        for has_no_body in due:
            with contextlib.suppress(ConnectionError):
                answer = None
                answer = await read_answer(reader, has_no_body)
            if answer is None:
                await self.close()
                raise Ended(f"the connection ended after {len(answers)} of {len(due)} answers")
            answers.append(answer)
            self._asked_at = time.monotonic()
            if answer.is_last:
                await self.close()
                break
        return answers

    async def _provoke(self, exchange: Exchange) -> list[HttpAnswer]:
        """Send the bytes on a connection of their own, give the server a moment, close our side and read to the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        came = bytearray()
        try:
            await _send(writer, exchange)
            with contextlib.suppress(TimeoutError):
                while chunk := await asyncio.wait_for(reader.read(65536), _QUIET_S):
                    came += chunk
            writer.write_eof()
            while chunk := await reader.read(65536):
                came += chunk
        except (ConnectionError, OSError):
            # Closed with bytes of ours unread.
            return []
        finally:
            writer.transport.abort()
        has_no_body = any(b"HEAD" in piece for piece in exchange.pieces)
        return [] if has_no_body else await _answers(bytes(came))


async def read_answer(reader: asyncio.StreamReader, has_no_body: bool = False) -> HttpAnswer | None:
    """The next final answer, None at the end. Raises Malformed."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Malformed(f"the answer ends inside its head: {error.partial[:200]!r}") from error
            return None
        except asyncio.LimitOverrunError as error:
            raise Malformed("the answer's head is larger than 64 KiB") from error
        status, headers = _head(head)
        if status >= 200:
            break
    is_last = headers.get(b"connection", b"").lower() == b"close"
    try:
        body = b"" if has_no_body or status in (204, 304) else await _body(reader, headers, is_last)
    except asyncio.IncompleteReadError as error:
        raise Malformed(f"the answer ends inside its body, {error.expected} more bytes were announced") from error
    return HttpAnswer(status, headers, body, is_last)


def _head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    line, *fields = head[:-4].split(b"\r\n")
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise Malformed(f"status line {line[:200]!r}")
    headers: dict[bytes, bytes] = {}
    for field in fields:
        found = _FIELD.fullmatch(field)
        if found is None:
            raise Malformed(f"header line {field[:200]!r}")
        name = found[1].lower()
        if name in headers:
            raise Malformed(f"header {name!r} comes twice")
        headers[name] = found[2]
    return int(match[1]), headers


async def _body(reader: asyncio.StreamReader, headers: dict[bytes, bytes], is_last: bool) -> bytes:
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        if b"content-length" in headers:
            raise Malformed("content-length and transfer-encoding in one answer")
        return await _chunks(reader)
    if b"content-length" in headers:
        return await reader.readexactly(int(headers[b"content-length"]))
    if not is_last:
        raise Malformed("an answer without a length on a connection that stays open")
    return await reader.read(-1)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while nbytes := int(await reader.readuntil(b"\r\n"), 16):
        chunks.append((await reader.readexactly(nbytes + 2))[:-2])
    if await reader.readexactly(2) != b"\r\n":
        raise Malformed("the last chunk is followed by something")
    return b"".join(chunks)


async def _answers(came: bytes) -> list[HttpAnswer]:
    reader = asyncio.StreamReader()
    reader.feed_data(came)
    reader.feed_eof()
    answers = []
    while (answer := await read_answer(reader)) is not None:
        answers.append(answer)
    return answers


async def _send(writer: asyncio.StreamWriter, exchange: Exchange) -> None:
    for number, piece in enumerate(exchange.pieces):
        if number and exchange.is_slow:
            await asyncio.sleep(0.01)
        writer.write(piece)
        await writer.drain()
