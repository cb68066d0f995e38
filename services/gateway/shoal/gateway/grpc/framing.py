"""gRPC's own layer over HTTP/2: message frames and time limits."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from shoal.gateway.grpc.convert import Buffer
from shoal.gateway.grpc.status import INTERNAL, RESOURCE_EXHAUSTED, RpcError
from shoal.gateway.limits import MESSAGE_LIMIT_BYTES
from shoal.gateway.scattered import PieceReader, Pieces, gathered, joined, views_of

#: Compressed flag and length, before each message.
PREFIX_NBYTES = 5

#: What the protocol allows; longer numbers would not fit where times go.
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


class Frame(NamedTuple):
    """One message as it came; views of the body."""

    is_compressed: bool
    message: memoryview | Pieces


def parse_timeout_s(value: bytes) -> float:
    """Seconds of a `grpc-timeout` header, e.g. `250m`. Raises RpcError when it is none."""
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        text = value.decode("latin-1")
        raise RpcError(INTERNAL, f"grpc-timeout is '{text}', expected up to 8 digits and one of H, M, S, m, u, n")
    return int(match[1]) * _SECONDS[match[2]]


def frame_nbytes(body: Buffer, limit_nbytes: int = MESSAGE_LIMIT_BYTES) -> int:
    """Size of the first frame of a body that has at least PREFIX_NBYTES, prefix included.

    Raises RpcError for a message of more than `limit_nbytes`, so that it need not be received first.
    """
    nbytes = int.from_bytes(body[1:PREFIX_NBYTES])
    if nbytes > limit_nbytes:
        advice = "raise --max-inflight-bytes, or send less at once"
        raise RpcError(RESOURCE_EXHAUSTED, f"Received message larger than max ({nbytes} vs. {limit_nbytes}); {advice}")
    return nbytes + PREFIX_NBYTES


def unframe(body: bytes | Pieces, limit_nbytes: int = MESSAGE_LIMIT_BYTES) -> Frame:
    """The only message of a unary request's body. Raises RpcError for a body that is not exactly one frame, and for a
    message of more than `limit_nbytes`."""
    if len(body) < PREFIX_NBYTES:
        raise RpcError(INTERNAL, f"request has {len(body)} bytes, expected one message with its 5-byte prefix")
    unread = PieceReader(views_of(body))
    prefix = joined(unread.take(PREFIX_NBYTES))
    nbytes = frame_nbytes(prefix, limit_nbytes)
    if len(body) != nbytes:
        raise RpcError(INTERNAL, f"request has {len(body)} bytes, expected {nbytes}: one message and nothing else")
    return Frame(bool(prefix[0]), unread.take(unread.left))


class FrameReader:
    """Messages of at most `limit_nbytes` out of a body that comes in pieces, cut anywhere. Nothing is copied but
    prefixes over a cut."""

    def __init__(self, limit_nbytes: int = MESSAGE_LIMIT_BYTES) -> None:
        self._limit_nbytes = limit_nbytes
        self._pieces: deque[memoryview] = deque()
        self._nbytes = 0
        #: The prefix of the message that is being received.
        self._prefix: Buffer | None = None

    def feed(self, piece: bytes) -> None:
        """Add the next piece of the body."""
        if piece:
            self._pieces.append(memoryview(piece))
            self._nbytes += len(piece)

    def next(self) -> Frame | None:
        """The next message, or None until more of it is fed. Raises RpcError for a message that is too large."""
        if self._prefix is None:
            if self._nbytes < PREFIX_NBYTES:
                return None
            self._prefix = joined(self._take(PREFIX_NBYTES))
        prefix, nbytes = self._prefix, frame_nbytes(self._prefix, self._limit_nbytes) - PREFIX_NBYTES
        if self._nbytes < nbytes:
            return None
        self._prefix = None
        return Frame(bool(prefix[0]), self._take(nbytes))

    def end(self) -> None:
        """The body is over. Raises RpcError when it ends in the middle of a message."""
        if self._nbytes or self._prefix is not None:
            raise RpcError(INTERNAL, f"request stream ends in the middle of a message, {self._nbytes} bytes of it came")

    def _take(self, nbytes: int) -> memoryview | Pieces:
        self._nbytes -= nbytes
        taken: list[memoryview] = []
        while nbytes:
            piece = self._pieces.popleft()
            if len(piece) > nbytes:
                self._pieces.appendleft(piece[nbytes:])
                piece = piece[:nbytes]
            taken.append(piece)
            nbytes -= len(piece)
        return gathered(taken or [memoryview(b"")])


def frame(pieces: Sequence[Buffer], is_compressed: bool = False) -> bytes:
    """One frame around a message that comes in pieces; they are copied once."""
    return b"".join((b"\1" if is_compressed else b"\0", sum(map(len, pieces)).to_bytes(4), *pieces))
