"""Where and why a text is no JSON document, in the words and offsets of the parser that Triton uses (RapidJSON).

Only asked when another parser has refused the text, so speed does not matter; nesting is followed without recursion.
Bytes above 127 are not looked at: strings may hold any.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_SPACE = re.compile(rb"[ \t\r\n]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_DIGITS = re.compile(rb"[0-9]+")
_TEXT = re.compile(rb'[^"\\\x00-\x1f]*')
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
_NOT_FINITE = re.compile(rb"-?(?:NaN|Inf(?:inity)?)")
_LITERALS = (b"true", b"false", b"null")
_OPEN, _CLOSE = b"{[", b"}]"


class JsonFault(NamedTuple):
    """`reason` is a sentence with its full stop, `offset` counts bytes from the start of the text."""

    reason: str
    offset: int


class _Refused(Exception):
    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.fault = JsonFault(reason, offset)


def find_fault(text: bytes) -> JsonFault | None:
    """The first fault of the text, or None for a document that RapidJSON takes (NaN, Inf and Infinity included)."""
    try:
        _read_document(text)
    except _Refused as refused:
        return refused.fault
    return None


def _read_document(text: bytes) -> None:
    offset = _skip(text, 0)
    if offset == len(text):
        raise _Refused("The document is empty.", offset)
    closers: list[bytes] = []
    while True:
        offset, is_value_complete = _begin_value(text, offset, closers)
        while is_value_complete:
            offset = _skip(text, offset)
            if not closers:
                if offset < len(text):
                    raise _Refused("The document root must not be followed by other values.", offset)
                return
            offset, is_value_complete = _after_value(text, offset, closers)


def _begin_value(text: bytes, offset: int, closers: list[bytes]) -> tuple[int, bool]:
    """Read a scalar (complete), or the opening of a container up to its first value (not complete, unless empty)."""
    char = text[offset : offset + 1]
    if char in (b"{", b"["):
        closer = _CLOSE[_OPEN.index(char) :][:1]
        offset = _skip(text, offset + 1)
        if text[offset : offset + 1] == closer:
            return offset + 1, True
        closers.append(closer)
        return (_member_name(text, offset) if char == b"{" else offset), False
    if char == b'"':
        return _string(text, offset), True
    for literal in _LITERALS:
        if char == literal[:1]:
            return _literal(text, offset, literal), True
    return _number(text, offset), True


def _after_value(text: bytes, offset: int, closers: list[bytes]) -> tuple[int, bool]:
    char, closer = text[offset : offset + 1], closers[-1]
    if char == closer:
        closers.pop()
        return offset + 1, True
    if char != b",":
        what = "} after an object member" if closer == b"}" else "] after an array element"
        raise _Refused(f"Missing a comma or {what}.", offset)
    offset = _skip(text, offset + 1)
    return (_member_name(text, offset) if closer == b"}" else offset), False


def _member_name(text: bytes, offset: int) -> int:
    """Offset of the member's value."""
    if text[offset : offset + 1] != b'"':
        raise _Refused("Missing a name for object member.", offset)
    offset = _skip(text, _string(text, offset))
    if text[offset : offset + 1] != b":":
        raise _Refused("Missing a colon after a name of object member.", offset)
    return _skip(text, offset + 1)


def _string(text: bytes, offset: int) -> int:
    offset += 1
    while True:
        offset = _end(_TEXT, text, offset)
        char = text[offset : offset + 1]
        if char == b'"':
            return offset + 1
        if char == b"\\":
            offset = _escape(text, offset)
        elif char in (b"", b"\0"):
            raise _Refused("Missing a closing quotation mark in string.", offset)
        else:
            raise _Refused("Invalid encoding in string.", offset)


def _escape(text: bytes, start: int) -> int:
    kind = text[start + 1 : start + 2]
    if kind != b"u":
        if not kind or kind not in b'"\\/bfnrt':
            raise _Refused("Invalid escape character in string.", start)
        return start + 2
    code = _hex(text, start + 2, start)
    if not 0xD800 <= code <= 0xDFFF:
        return start + 6
    is_pair = code <= 0xDBFF and text[start + 6 : start + 8] == b"\\u"
    if not is_pair or not 0xDC00 <= _hex(text, start + 8, start) <= 0xDFFF:
        raise _Refused("The surrogate pair in string is invalid.", start)
    return start + 12


def _hex(text: bytes, offset: int, start: int) -> int:
    match = _HEX.match(text, offset)
    if match is None:
        raise _Refused("Incorrect hex digit after \\u escape in string.", start)
    return int(match[0], 16)


def _literal(text: bytes, offset: int, literal: bytes) -> int:
    for expected in literal:
        if text[offset : offset + 1] != bytes((expected,)):
            raise _Refused("Invalid value.", offset)
        offset += 1
    return offset


def _number(text: bytes, start: int) -> int:
    match = _NOT_FINITE.match(text, start)
    if match is not None:
        return match.end()
    match = _NUMBER.match(text, start)
    if match is None:
        raise _Refused("Invalid value.", start + (text[start : start + 1] == b"-"))
    offset = match.end()
    if text[offset : offset + 1] == b".":
        offset = _digits(text, offset + 1, "Miss fraction part in number.")
    if text[offset : offset + 1] in (b"e", b"E"):
        offset += 1 + (text[offset + 1 : offset + 2] in (b"+", b"-"))
        offset = _digits(text, offset, "Miss exponent in number.")
    if abs(float(text[start:offset])) == float("inf"):
        raise _Refused("Number too big to be stored in double.", start)
    return offset


def _digits(text: bytes, offset: int, reason: str) -> int:
    match = _DIGITS.match(text, offset)
    if match is None:
        raise _Refused(reason, offset)
    return match.end()


def _skip(text: bytes, offset: int) -> int:
    return _end(_SPACE, text, offset)


def _end(pattern: re.Pattern[bytes], text: bytes, offset: int) -> int:
    match = pattern.match(text, offset)
    return offset if match is None else match.end()
