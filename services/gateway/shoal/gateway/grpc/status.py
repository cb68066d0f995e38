"""gRPC statuses that the transports themselves answer with, and the error that carries a status to the client."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

OK = 0
DEADLINE_EXCEEDED = 4
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13

#: Clients refuse trailers above 8 KiB; this leaves room for what else is in them.
_TEXT_LIMIT_BYTES = 7000

#: What stays as it is in `grpc-message`; everything else, `%` included, is percent-encoded.
_PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

_CUT_ESCAPE = re.compile("%[0-9A-F]?$")


class RpcError(Exception):
    """A call failed with this gRPC status; `message` is what the client reads, cut to what a client accepts."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = _shorten(message)


def encode_message(message: str) -> bytes:
    """A text as `grpc-message` carries it."""
    return quote(message, safe=_PLAIN).encode()


def _shorten(message: str) -> str:
    # Every character takes three bytes at most in ASCII texts: short ones need no closer look.
    if len(message) * 3 <= _TEXT_LIMIT_BYTES and message.isascii():
        return message
    encoded = quote(message, safe=_PLAIN)
    if len(encoded) <= _TEXT_LIMIT_BYTES:
        return message
    return unquote(_CUT_ESCAPE.sub("", encoded[:_TEXT_LIMIT_BYTES]), errors="ignore") + "..."
