"""What one NATS message holds: a bundle of messages to one destination, or a fragment of a bundle that was too big.

Bundle: `b"S"`, a version byte, the sender's incarnation as a MessagePack string, then for each message
`<BII` (kind, header bytes, payload bytes), the header and the payload. Fragment: `b"F"`, a version byte, the sender,
then `<III` (number of the bundle, offset of the piece, bytes of the whole bundle) and the piece. Everything here is
pure; times are the caller's clock in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

import msgpack

VERSION = 1
_BUNDLE = ord("S")
_FRAGMENT = ord("F")
_PREFIX_NBYTES = 2

_PART = Struct("<BII")
_PIECE = Struct("<III")

#: Bytes of a bundle's part beside its header and payload.
PART_OVERHEAD_NBYTES = _PART.size

#: The most one message may hold: offsets are 32 bits wide, and a receiver must be able to hold it.
MAX_MESSAGE_NBYTES = 1 << 30

Buffer = bytes | bytearray | memoryview


class FrameError(ValueError):
    """A frame that no Shoal process of this release makes; nothing of it was used."""


class Part(NamedTuple):
    """One message out of a bundle. Both views stay valid as long as they are referenced; the payload is untouched."""

    kind: int
    header: memoryview
    payload: memoryview


class Piece(NamedTuple):
    """A fragment: `data` belongs at `offset` of bundle `number` of this sender, which has `total_nbytes`."""

    sender: str
    number: int
    offset: int
    total_nbytes: int
    data: memoryview


def bundle_prefix(sender: str) -> bytes:
    """The bytes that every bundle of this sender starts with."""
    return bytes((_BUNDLE, VERSION)) + bytes(msgpack.packb(sender))


def part_prefix(kind: int, header_nbytes: int, payload_nbytes: int) -> bytes:
    return _PART.pack(kind, header_nbytes, payload_nbytes)


def cut(
    chunks: Iterable[Buffer], total_nbytes: int, sender: str, number: int, limit_nbytes: int
) -> Iterator[list[Buffer]]:
    """A bundle, given in chunks of `total_nbytes` together, as fragments of at most `limit_nbytes` in sending order.

    Each fragment is a list of buffers to be joined; they refer to the chunks, nothing is copied. `number` tells
    bundles of one sender to one destination apart; it wraps at 32 bits.
    """
    prefix = bytes((_FRAGMENT, VERSION)) + bytes(msgpack.packb(sender))
    step = limit_nbytes - len(prefix) - _PIECE.size
    offset, room, fragment = 0, 0, list[Buffer]()
    for chunk in chunks:
        view = memoryview(chunk)
        if view.nbytes == 0:
            continue
        view = view.cast("B")
        while len(view) > 0:
            if room == 0:
                if fragment:
                    yield fragment
                fragment = [prefix, _PIECE.pack(number & 0xFFFFFFFF, offset, total_nbytes)]
                room = step
            taken = view[:room]
            fragment.append(taken)
            offset += len(taken)
            room -= len(taken)
            view = view[len(taken) :]
    yield fragment


def is_fragment(frame: Buffer) -> bool:
    return len(frame) > 0 and frame[0] == _FRAGMENT


def read_bundle(bundle: Buffer) -> tuple[str, list[Part]]:
    """Sender and messages of a bundle, in the order in which they were sent. Raises FrameError."""
    sender, offset = _read_prefix(bundle, _BUNDLE)
    view = memoryview(bundle)
    parts: list[Part] = []
    end = len(bundle)
    while offset < end:
        if end - offset < _PART.size:
            raise FrameError(f"bundle of {end} bytes from {sender} ends inside a part's sizes")
        kind, header_nbytes, payload_nbytes = _PART.unpack_from(bundle, offset)
        header_at = offset + _PART.size
        payload_at = header_at + header_nbytes
        offset = payload_at + payload_nbytes
        parts.append(Part(kind, view[header_at:payload_at], view[payload_at:offset]))
    if offset > end:
        raise FrameError(f"bundle of {end} bytes from {sender} ends inside a part: {offset} bytes expected")
    return sender, parts


def read_piece(frame: Buffer) -> Piece:
    """What a fragment says. Raises FrameError."""
    sender, offset = _read_prefix(frame, _FRAGMENT)
    if len(frame) - offset < _PIECE.size:
        raise FrameError(f"fragment of {len(frame)} bytes from {sender} ends inside its sizes")
    number, at, total_nbytes = _PIECE.unpack_from(frame, offset)
    data = memoryview(frame)[offset + _PIECE.size :]
    if at + len(data) > total_nbytes:
        raise FrameError(f"fragment from {sender} reaches to {at + len(data)} of a bundle of {total_nbytes} bytes")
    return Piece(sender, number, at, total_nbytes, data)


def _read_prefix(frame: Buffer, kind: int) -> tuple[str, int]:
    """The sender and where its prefix ends."""
    if len(frame) <= _PREFIX_NBYTES or frame[0] != kind or frame[1] != VERSION:
        raise FrameError(f"frame starts with {bytes(frame[:2])!r}; are all processes of one release?")
    first = frame[2]
    if first & 0xE0 == 0xA0:
        start, nbytes = 3, first & 0x1F
    elif first == 0xD9 and len(frame) > 3:
        start, nbytes = 4, frame[3]
    else:
        raise FrameError("frame without a sender's name")
    end = start + nbytes
    if len(frame) < end:
        raise FrameError("frame ends inside the sender's name")
    return str(frame[start:end], "utf-8", "replace"), end
