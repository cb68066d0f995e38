"""gzip and deflate bodies of inference requests and responses."""

from __future__ import annotations

import zlib

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.gateway.inflation import Inflator, NotCompressed, TooLarge

#: zlib's window bits by content encoding; `deflate` is a zlib stream.
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
#: For reading: a stream says itself which of the two it is, and not every client is right about the name.
_EITHER = zlib.MAX_WBITS | 32
_IDENTITY = "identity"
#: The text of a refusal, Triton's.
UNSUPPORTED = "Unsupported compression type"
#: What a client may send, told with a refusal.
ACCEPTED = "gzip, deflate"
#: Fast: the client asked for less traffic, not for the least.
_LEVEL = 1


async def decompress(inflator: Inflator, body: bytes, encoding: str, limit_nbytes: int) -> list[bytes]:
    """The plain body of a `Content-Encoding`, in pieces.

    Raises Unsupported for another encoding, InvalidArgument for a body that is not of it or becomes too large.
    """
    if encoding == _IDENTITY:
        return [body]
    if encoding not in _WINDOW_BITS:
        raise Unsupported(UNSUPPORTED)
    try:
        return await inflator.inflate(body, _EITHER, limit_nbytes)
    except NotCompressed as error:
        raise InvalidArgument(f"request body is no whole {encoding} stream: {error}") from error
    except TooLarge as error:
        raise InvalidArgument(
            f"decompressed request body exceeds the maximum allowed size of {limit_nbytes} bytes. "
            "Use --http-max-input-size to increase the limit."
        ) from error


def choose(accept_encoding: str) -> str:
    """The encoding of an `Accept-Encoding` with the highest weight, the first among equals; `identity` without any."""
    best, best_weight = _IDENTITY, 0.0
    for item in accept_encoding.lower().split(","):
        name, _, parameters = item.partition(";")
        weight = _weight(parameters)
        if (name.strip() in _WINDOW_BITS or name.strip() == _IDENTITY) and weight > best_weight:
            best, best_weight = name.strip(), weight
    return best


def compress(body: bytes, encoding: str) -> bytes:
    """The body in an encoding that `choose` gave."""
    if encoding == _IDENTITY:
        return body
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[encoding])
    return stream.compress(body) + stream.flush()


def _weight(parameters: str) -> float:
    key, _, value = parameters.partition(";")[0].partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
