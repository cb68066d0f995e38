"""gzip and deflate bodies of inference requests and responses."""

from __future__ import annotations

import zlib

from shoal.core.errors import InvalidArgument, Unsupported

#: zlib's window bits by content encoding; `deflate` is a zlib stream.
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_IDENTITY = "identity"
#: The text of a refusal, Triton's.
UNSUPPORTED = "Unsupported compression type"
#: What a client may send, told with a refusal.
ACCEPTED = "gzip, deflate"
#: Fast: the client asked for less traffic, not for the least.
_LEVEL = 1


def decompress(body: bytes, encoding: str, limit_nbytes: int) -> bytes:
    """The plain body of a `Content-Encoding`.

    Raises Unsupported for another encoding, InvalidArgument for a body that is not of it or becomes too large.
    """
    if encoding == _IDENTITY:
        return body
    if encoding not in _WINDOW_BITS:
        raise Unsupported(UNSUPPORTED)
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        plain = stream.decompress(body, limit_nbytes + 1)
    except zlib.error as error:
        raise InvalidArgument(f"request body is no {encoding} stream: {error}") from error
    if len(plain) > limit_nbytes:
        raise InvalidArgument(
            f"decompressed request body exceeds the maximum allowed size of {limit_nbytes} bytes. "
            "Use --http-max-input-size to increase the limit."
        )
    if not stream.eof:
        raise InvalidArgument(f"request body ends in the middle of its {encoding} stream")
    return plain


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
    key, _, value = parameters.strip().partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
