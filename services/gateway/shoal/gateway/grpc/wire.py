"""Large tensors in and out of protobuf messages without copying them.

Python's protobuf copies a `bytes` field twice, once when parsing and once when it is read; for tensors of many
megabytes that costs more than all the rest of a request. So the raw contents of a large request are cut out of the
message before protobuf sees it, and those of a response are appended to what protobuf has written: the order of fields
in a message is free.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from shoal.gateway.scattered import PieceReader, Pieces, joined, views_of

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_NBYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_MAX_NBYTES = 10
#: More than any request has. Fields cost a few microseconds each here, and memory in a parsed message.
_FIELD_LIMIT = 16_384


def split_field(message: Sequence[memoryview | bytes], number: int) -> tuple[bytes, list[memoryview | Pieces]]:
    """The message without its `bytes` field of this number, and the values of that field in order.

    `message` comes in pieces, and so do values that reach over a border between them; they are views of it. Raises
    DecodeError when it is not a well-formed sequence of fields, or one of too many.
    """
    wanted = number << 3 | _DELIMITED
    kept: list[memoryview | bytes] = []
    values: list[memoryview | Pieces] = []
    unread = PieceReader(message)
    for _ in range(_FIELD_LIMIT):
        if not unread.left:
            return b"".join(kept), values
        tag = _varint(unread)
        kind = tag & 7
        if tag == wanted:
            values.append(_take(unread, _varint(unread)))
            continue
        kept.append(_encode_varint(tag))
        if kind == _DELIMITED:
            nbytes = _varint(unread)
            kept += (_encode_varint(nbytes), *views_of(_take(unread, nbytes)))
        elif kind == _VARINT:
            kept.append(_encode_varint(_varint(unread)))
        elif kind in _FIXED_NBYTES:
            kept += views_of(_take(unread, _FIXED_NBYTES[kind]))
        else:
            raise DecodeError(f"field of wire type {kind}")
    raise DecodeError(f"more than {_FIELD_LIMIT} fields")


def field_prefix(number: int, nbytes: int) -> bytes:
    """What stands before the value of a `bytes` field: its tag and its length."""
    return _encode_varint(number << 3 | _DELIMITED) + _encode_varint(nbytes)


def _take(message: PieceReader, nbytes: int) -> memoryview | Pieces:
    if nbytes > message.left:
        raise DecodeError(f"field of {nbytes} bytes where {message.left} are left")
    return message.take(nbytes)


def _varint(message: PieceReader) -> int:
    value = 0
    for shift in range(0, 7 * _VARINT_MAX_NBYTES, 7):
        byte = joined(_take(message, 1))[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise DecodeError("number without an end")


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
