"""gzip and deflate messages: those of requests, and those of responses where `--grpc-infer-response-compression-level`
asks for it.

A level chooses among the encodings that the client accepts, as gRPC's own library does: the lower levels take gzip, the
higher ones deflate, where both are accepted.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from shoal.gateway.grpc.convert import Buffer
from shoal.gateway.grpc.options import CompressionLevel
from shoal.gateway.grpc.status import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, RpcError
from shoal.gateway.inflation import Inflator, NotCompressed, TooLarge
from shoal.gateway.scattered import Pieces, gathered

#: zlib's window bits by encoding: a stream with a gzip header, and a zlib stream. In the order of preference of a low
#: level.
_WINDOW_BITS = {b"gzip": zlib.MAX_WBITS | 16, b"deflate": zlib.MAX_WBITS}

#: `grpc-accept-encoding` of our responses: what requests may be compressed with.
ACCEPTED_ENCODINGS = b"identity, deflate, gzip"


def response_encoding(level: CompressionLevel, accepted: bytes) -> bytes | None:
    """What to compress responses with for a client with this `grpc-accept-encoding`; None: not at all."""
    names = {name.strip() for name in accepted.split(b",")}
    found = [encoding for encoding in _WINDOW_BITS if encoding in names]
    if level == "none" or not found:
        return None
    return found[0] if level == "low" else found[-1]


def compress(pieces: Sequence[Buffer], encoding: bytes) -> bytes | None:
    """A message that comes in pieces, compressed; None when that would not make it smaller."""
    stream = zlib.compressobj(wbits=_WINDOW_BITS[encoding])
    compressed = b"".join((*(stream.compress(piece) for piece in pieces), stream.flush()))
    return compressed if len(compressed) < sum(map(len, pieces)) else None


async def decompress(inflator: Inflator, message: Buffer, encoding: bytes, limit_nbytes: int) -> memoryview | Pieces:
    """The plain message of a `grpc-encoding`. Raises RpcError for another encoding, for what is not of it, and for a
    message that becomes larger than `limit_nbytes`."""
    window_bits = _WINDOW_BITS.get(encoding)
    if window_bits is None:
        raise RpcError(
            UNIMPLEMENTED,
            f"compression '{encoding.decode('latin-1')}' is not served, use one of {ACCEPTED_ENCODINGS.decode()}",
        )
    try:
        pieces = await inflator.inflate(message, window_bits, limit_nbytes)
    except NotCompressed as error:
        raise RpcError(INTERNAL, f"message does not decompress as {encoding.decode()}: {error}") from error
    except TooLarge as error:
        raise RpcError(RESOURCE_EXHAUSTED, f"Decompressed message larger than max ({limit_nbytes})") from error
    return gathered([memoryview(piece) for piece in pieces])
