"""Large tensors in and out of protobuf messages without copying them.

Python's protobuf copies a `bytes` field twice, once when parsing and once when it is read; for tensors of many
megabytes that costs more than all the rest of a request. So the raw contents of a large request are cut out of the
message before protobuf sees it, and those of a response are appended to what protobuf has written: the order of fields
in a message is free.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_NBYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_MAX_NBYTES = 10


def split_field(message: memoryview, number: int) -> tuple[bytes, list[memoryview]]:
    """The message without its `bytes` field of this number, and the values of that field in order.

    The values are views of `message`. Raises DecodeError when it is not a well-formed sequence of fields.
    """
    tag = number << 3 | _DELIMITED
    kept: list[memoryview] = []
    values: list[memoryview] = []
    position, end = 0, len(message)
    while position < end:
        start = position
        found, position = _varint(message, position)
        kind = found & 7
        if kind == _DELIMITED:
            nbytes, position = _varint(message, position)
        elif kind == _VARINT:
            _, position = _varint(message, position)
            nbytes = 0
        elif kind in _FIXED_NBYTES:
            nbytes = _FIXED_NBYTES[kind]
        else:
            raise DecodeError(f"field of wire type {kind}")
        if nbytes > end - position:
            raise DecodeError(f"field of {nbytes} bytes where {end - position} are left")
        stop = position + nbytes
        if found == tag:
            values.append(message[position:stop])
        else:
            kept.append(message[start:stop])
        position = stop
    return b"".join(kept), values


def field_prefix(number: int, nbytes: int) -> bytes:
    """What stands before the value of a `bytes` field: its tag and its length."""
    return _encode_varint(number << 3 | _DELIMITED) + _encode_varint(nbytes)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """The number that starts at `position`, and where the next byte after it is."""
    value = 0
    for count, byte in enumerate(data[position : position + _VARINT_MAX_NBYTES]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, position + count + 1
    raise DecodeError("number without an end")


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
