"""Every subject and bucket name of Shoal, and the one escape for names inside them.

A name that came from a client never enters a subject or key before it was found in a view.
"""

from __future__ import annotations

import hashlib
import re

#: Longer escaped names become a digest: subjects share the broker's control line of 4 KiB with everything else.
MAX_TOKEN_CHARS = 128

_DIGEST_MARK = "=="
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPED = re.compile(r"=([0-9A-F]{2})")


def escape(name: str) -> str:
    """`name` as one token of a subject or key: `[A-Za-z0-9_-]` stay, every other UTF-8 byte becomes `=XX`.

    Over 128 characters the token is `==` and a SHA-256 in hexadecimal; no escaped name starts like that. Raises
    ValueError for an empty name, which no subject can hold.
    """
    if not name:
        raise ValueError("an empty name cannot be part of a subject or key")
    token = _UNSAFE.sub(lambda byte: b"=%02X" % byte[0][0], name.encode()).decode()
    if len(token) > MAX_TOKEN_CHARS:
        return _DIGEST_MARK + hashlib.sha256(name.encode()).hexdigest()
    return token


def is_digest(token: str) -> bool:
    """Whether the token stands for a name that cannot be read from it."""
    return token.startswith(_DIGEST_MARK)


def unescape(token: str) -> str:
    """The name behind a token of `escape`. Raises ValueError for a digest and for text that `escape` never makes."""
    if is_digest(token):
        raise ValueError(f"token {token!r} is a digest; its name is not in it")
    data = _ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), token)
    return data.encode("latin-1").decode()


def inbox(namespace: str, incarnation: str) -> str:
    """Where everything for one process goes whose order matters."""
    return f"{namespace}.inbox.{incarnation}"


def replies(namespace: str, incarnation: str) -> str:
    """Prefix of the subjects on which the broker answers one process; a token follows."""
    return f"{namespace}.reply.{incarnation}"


def heartbeats(namespace: str, role: str) -> str:
    return f"{namespace}.heartbeat.{role}"


def bucket(namespace: str, name: str) -> str:
    """The key-value bucket `name` of this namespace."""
    return f"{namespace}-{name}"
