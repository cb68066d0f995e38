"""What leaves at the end of a loop turn: one bundle per destination, as PUB commands ready for the socket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from shoal.bus.frames import MAX_MESSAGE_NBYTES, PART_OVERHEAD_NBYTES, Buffer, bundle_prefix, cut, part_prefix
from shoal.core.errors import InvalidArgument

#: A bundle that has grown to this is followed by another one to the same destination; a larger message is cut.
FRAME_LIMIT_NBYTES = 512 * 1024
#: With more than this still unsent the broker is not keeping up, and a turn's messages are dropped.
BACKLOG_LIMIT_NBYTES = 256 * 1024 * 1024

_DESTINATION = re.compile(r"[A-Za-z0-9_-]{1,128}")
_KNOWN_LIMIT = 4096
_CRLF = b"\r\n"


class _Bundle:
    __slots__ = ("chunks", "command", "nbytes")

    def __init__(self, command: bytes, prefix: bytes) -> None:
        self.command = command
        self.chunks: list[bytes | memoryview] = [prefix]
        self.nbytes = len(prefix)


class Outbox:
    """Gathers messages by destination (`add`) and gives them away as bytes (`take`). Pure.

    `dropped` counts the turns whose messages were thrown away because of a bound.
    """

    def __init__(self, sender: str, subject_prefix: str) -> None:
        self._sender = sender
        self._prefix = bundle_prefix(sender)
        self._subject_prefix = subject_prefix
        self._commands: dict[str, bytes] = {}
        self._open: dict[str, _Bundle] = {}
        self._full: list[_Bundle] = []
        self._cut_count = 0
        self.dropped = 0

    def add(self, to: str, kind: int, header: bytes | memoryview, buffers: Sequence[bytes | memoryview]) -> None:
        """Queue one message. Header and buffers are only referenced, until `take`.

        Raises InvalidArgument when the message is beyond 1 GiB, or `to` is no name of a process.
        """
        payload_nbytes = 0
        for buffer in buffers:
            payload_nbytes += buffer.nbytes if isinstance(buffer, memoryview) else len(buffer)
        header_nbytes = len(header)
        nbytes = header_nbytes + payload_nbytes + PART_OVERHEAD_NBYTES
        bundle = self._open.get(to)
        if bundle is None or bundle.nbytes + nbytes > FRAME_LIMIT_NBYTES:
            bundle = self._begin(to, nbytes, bundle)
        bundle.chunks += (part_prefix(kind, header_nbytes, payload_nbytes), header, *buffers)
        bundle.nbytes += nbytes

    def take(self, max_payload: int, backlog_nbytes: int) -> list[bytes]:
        """Everything queued as PUB commands for the socket, each message within the broker's `max_payload`.

        One element for all that is small, one for each large message, so that nothing is copied twice.
        `backlog_nbytes`: what earlier turns wrote and the socket has not taken yet.
        """
        bundles = [*self._full, *self._open.values()] if self._full else list(self._open.values())
        self._full.clear()
        self._open.clear()
        if backlog_nbytes > BACKLOG_LIMIT_NBYTES and bundles:
            self.dropped += 1
            return []
        limit_nbytes = min(max_payload, FRAME_LIMIT_NBYTES)
        writes: list[bytes] = []
        commands: list[Buffer] = []
        nbytes = 0
        for bundle in bundles:
            if bundle.nbytes <= limit_nbytes:
                commands += (bundle.command, b"%d\r\n" % bundle.nbytes, *bundle.chunks, _CRLF)
            else:
                commands += self._cut(bundle, limit_nbytes)
            nbytes += bundle.nbytes
            if nbytes > FRAME_LIMIT_NBYTES:
                writes.append(b"".join(commands))
                commands.clear()
                nbytes = 0
        if commands:
            writes.append(b"".join(commands))
        return writes

    def _begin(self, to: str, nbytes: int, full: _Bundle | None) -> _Bundle:
        if nbytes > MAX_MESSAGE_NBYTES:
            raise InvalidArgument(
                f"a message of {nbytes} bytes is beyond the {MAX_MESSAGE_NBYTES} bytes that fit into one; "
                "send fewer or smaller tensors per request"
            )
        if full is not None:
            self._full.append(full)
        bundle = self._open[to] = _Bundle(self._command(to), self._prefix)
        return bundle

    def _command(self, to: str) -> bytes:
        command = self._commands.get(to)
        if command is None:
            if not _DESTINATION.fullmatch(to):
                raise InvalidArgument(f"{to!r} is no name of a process: 1 to 128 of A-Z a-z 0-9 _ - expected")
            if len(self._commands) >= _KNOWN_LIMIT:
                self._commands.clear()
            command = self._commands[to] = f"PUB {self._subject_prefix}{to} ".encode()
        return command

    def _cut(self, bundle: _Bundle, limit_nbytes: int) -> Iterator[Buffer]:
        self._cut_count += 1
        for fragment in cut(bundle.chunks, bundle.nbytes, self._sender, self._cut_count, limit_nbytes):
            yield bundle.command
            yield b"%d\r\n" % sum(map(len, fragment))
            yield from fragment
            yield _CRLF
