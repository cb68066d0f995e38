"""Members of a client's JSON document by type, refused in the words of Triton's JSON library.

`what` is how the member is called in the error; a document that is no object has no members.
"""

from __future__ import annotations

from typing import Any

from shoal.core.errors import InternalError

_ABSENT = object()
_UINT64_LIMIT = 2**64


def member(document: Any, name: str) -> Any:
    """The member, or `ABSENT` where there is none (or nothing that could have members)."""
    return document.get(name, _ABSENT) if type(document) is dict else _ABSENT


def has_member(document: Any, name: str) -> bool:
    return type(document) is dict and name in document


def text_member(document: Any, name: str) -> str:
    """A required string, cut at a NUL as Triton's C strings are."""
    return as_text(_required(document, name), name)


def array_member(document: Any, name: str) -> list[Any]:
    """A required array."""
    value = _required(document, name)
    if type(value) is not list:
        raise InternalError(f"Unable to parse '{name}': attempt to access JSON non-array as array")
    return value


def as_text(value: Any, what: str) -> str:
    if type(value) is not str:
        raise InternalError(f"Unable to parse '{what}': attempt to access JSON non-string as string")
    text = printable(value)
    return text if "\0" not in text else text[: text.index("\0")]


def printable(text: str) -> str:
    """The text with replacement characters for bytes that were not UTF-8: fit for names, answers and messages."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_bool(value: Any, what: str) -> bool:
    if type(value) is not bool:
        raise InternalError(f"Unable to parse '{what}': attempt to access JSON non-boolean as boolean")
    return value


def as_unsigned(value: Any, what: str) -> int:
    if not is_unsigned(value):
        raise InternalError(
            f"Unable to parse '{what}': attempt to access JSON non-unsigned-integer as unsigned-integer"
        )
    number: int = value
    return number


def is_unsigned(value: Any) -> bool:
    """Whether a JSON value is an integer from 0 up to 64 bits."""
    return type(value) is int and 0 <= value < _UINT64_LIMIT


def _required(document: Any, name: str) -> Any:
    value = member(document, name)
    if value is _ABSENT:
        raise InternalError(f"Unable to parse '{name}': attempt to access non-existing object member '{name}'")
    return value
