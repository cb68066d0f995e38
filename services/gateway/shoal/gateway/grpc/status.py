"""gRPC statuses that the transports themselves answer with, and the error that carries a status to the client."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from shoal.core.errors import ShoalError
from shoal.gateway.errors import Fields, Refusal

OK = 0
DEADLINE_EXCEEDED = 4
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14

#: Clients refuse trailers above 8 KiB; this leaves room for what else is in them.
_TEXT_LIMIT_BYTES = 7000

#: What stays as it is in `grpc-message`; everything else, `%` included, is percent-encoded.
_PLAIN = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"

_CUT_ESCAPE = re.compile("%[0-9A-F]?$")


class RpcError(Exception):
    """A call failed with this gRPC status; `message` is what the client reads, cut to what a client accepts; `trailers`
    go along as trailing metadata."""

    def __init__(self, status: int, message: str, trailers: Fields = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = _shorten(message)
        self.trailers = trailers


def rpc_error(error: ShoalError) -> RpcError:
    """How a call ends that failed with this error."""
    return RpcError(error.grpc_status, error.message, error.grpc_fields if isinstance(error, Refusal) else ())


class ClientLeft(Exception):
    """The client went away before its call was over: there is nobody to tell."""


def encode_message(message: str) -> bytes:
    """A text as `grpc-message` carries it. Spaces at its ends are no part of a header's value unless they are
    encoded."""
    encoded = quote(message, safe=_PLAIN)
    core = encoded.strip(" ")
    if len(core) < len(encoded):
        start = len(encoded) - len(encoded.lstrip(" ")) if core else len(encoded)
        encoded = "%20" * start + core + "%20" * (len(encoded) - start - len(core))
    return encoded.encode()


def _shorten(message: str) -> str:
    # Every character takes three bytes at most in ASCII texts: short ones need no closer look.
    if len(message) * 3 <= _TEXT_LIMIT_BYTES and message.isascii():
        return message
    encoded = quote(message, safe=_PLAIN)
    if len(encoded) <= _TEXT_LIMIT_BYTES:
        return message
    return unquote(_CUT_ESCAPE.sub("", encoded[:_TEXT_LIMIT_BYTES]), errors="ignore") + "..."
