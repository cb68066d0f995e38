"""gRPC's own layer over HTTP/2: message frames, time limits, compression of requests."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from shoal.gateway.grpc.convert import MESSAGE_LIMIT_BYTES, Buffer
from shoal.gateway.grpc.status import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, RpcError
from shoal.gateway.scattered import PieceReader, Pieces, joined, views_of

#: Compressed flag and length, before each message.
PREFIX_NBYTES = 5

#: `grpc-accept-encoding` of our responses: what requests may be compressed with.
ACCEPTED_ENCODINGS = b"identity, deflate, gzip"

#: zlib's window bits for each encoding: a zlib stream, and one with a gzip header.
_WINDOW_BITS = {b"deflate": zlib.MAX_WBITS, b"gzip": zlib.MAX_WBITS | 16}

_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def parse_timeout_s(value: bytes) -> float:
    """Seconds of a `grpc-timeout` header, e.g. `250m`. Raises RpcError when it is none."""
    text = value.decode("latin-1")
    if not text[:-1].isdecimal() or text[-1] not in _SECONDS:
        raise RpcError(INTERNAL, f"grpc-timeout is '{text}', expected up to 8 digits and one of H, M, S, m, u, n")
    return int(text[:-1]) * _SECONDS[text[-1]]


def frame_nbytes(body: Buffer) -> int:
    """Size of the first frame of a body that has at least PREFIX_NBYTES, prefix included.

    Raises RpcError for a message larger than gRPC can carry, so that it need not be received first.
    """
    nbytes = int.from_bytes(body[1:PREFIX_NBYTES])
    if nbytes > MESSAGE_LIMIT_BYTES:
        raise RpcError(RESOURCE_EXHAUSTED, f"Received message larger than max ({nbytes} vs. {MESSAGE_LIMIT_BYTES})")
    return nbytes + PREFIX_NBYTES


def unframe(body: bytes | Pieces, encoding: bytes) -> memoryview | Pieces:
    """The only message of a unary request's body, decompressed; views of `body` when it was not compressed.

    Raises RpcError for a body that is not exactly one frame, and for compression that is not served.
    """
    if len(body) < PREFIX_NBYTES:
        raise RpcError(INTERNAL, f"request has {len(body)} bytes, expected one message with its 5-byte prefix")
    unread = PieceReader(views_of(body))
    prefix = joined(unread.take(PREFIX_NBYTES))
    nbytes = frame_nbytes(prefix)
    if len(body) != nbytes:
        raise RpcError(INTERNAL, f"request has {len(body)} bytes, expected {nbytes}: one message and nothing else")
    message = unread.take(unread.left)
    return _decompress(joined(message), encoding) if prefix[0] else message


def frame(pieces: Sequence[Buffer]) -> bytes:
    """One uncompressed frame around a message that comes in pieces; they are copied once."""
    return b"".join((b"\0", sum(map(len, pieces)).to_bytes(4), *pieces))


def _decompress(message: Buffer, encoding: bytes) -> memoryview:
    window_bits = _WINDOW_BITS.get(encoding)
    if window_bits is None:
        raise RpcError(
            UNIMPLEMENTED,
            f"compression '{encoding.decode('latin-1')}' is not served, use one of {ACCEPTED_ENCODINGS.decode()}",
        )
    inflating = zlib.decompressobj(window_bits)
    try:
        data = inflating.decompress(message, MESSAGE_LIMIT_BYTES)
    except zlib.error as error:
        raise RpcError(INTERNAL, f"message does not decompress as {encoding.decode()}: {error}") from error
    if not inflating.eof:
        raise RpcError(INTERNAL, f"message does not decompress as {encoding.decode()}: cut off or larger than 2 GiB")
    return memoryview(data)
