"""Compressed messages, in and out."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from shoal.gateway.grpc.compression import compress, decompress, response_encoding
from shoal.gateway.grpc.options import CompressionLevel
from shoal.gateway.grpc.status import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, RpcError
from shoal.gateway.inflation import Inflator
from shoal.gateway.scattered import joined


async def plain(message: bytes, encoding: bytes, limit_nbytes: int = 10_000) -> bytes | memoryview:
    return joined(await decompress(Inflator(), message, encoding, limit_nbytes))


@pytest.mark.parametrize(
    ("encoding", "packed"), [(b"gzip", gzip.compress(b"a" * 99)), (b"deflate", zlib.compress(b"a" * 99))]
)
async def test_compressed_messages_are_decompressed(encoding: bytes, packed: bytes) -> None:
    assert await plain(packed, encoding) == b"a" * 99


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
async def test_what_is_compressed_comes_back(encoding: bytes) -> None:
    compressed = compress((b"abc" * 100, memoryview(b"def" * 100)), encoding)
    assert compressed is not None and len(compressed) < 100
    assert await plain(compressed, encoding) == b"abc" * 100 + b"def" * 100


def test_a_message_that_would_grow_stays_as_it_is() -> None:
    assert compress((random.Random(0).randbytes(1000),), b"gzip") is None


async def status(message: bytes, encoding: bytes) -> int:
    with pytest.raises(RpcError) as caught:
        await plain(message, encoding)
    return caught.value.status


async def test_unknown_compression_is_refused() -> None:
    assert await status(b"a", b"snappy") == UNIMPLEMENTED


async def test_broken_compression_is_refused() -> None:
    assert await status(b"a", b"gzip") == INTERNAL
    assert await status(gzip.compress(b"a" * 1000)[:-9], b"gzip") == INTERNAL


async def test_a_message_is_decompressed_up_to_the_limit_only() -> None:
    packed = gzip.compress(bytes(1000))
    assert len(await plain(packed, b"gzip", 1000)) == 1000
    with pytest.raises(RpcError) as caught:
        await plain(packed, b"gzip", 999)
    assert caught.value.status == RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("level", "accepted", "encoding"),
    [
        ("none", b"identity, deflate, gzip", None),
        ("low", b"identity, deflate, gzip", b"gzip"),
        ("medium", b"identity,deflate,gzip", b"deflate"),
        ("high", b"identity, deflate, gzip", b"deflate"),
        ("high", b"gzip", b"gzip"),
        ("high", b"identity", None),
        ("high", b"", None),
    ],
)
def test_a_level_chooses_among_what_the_client_accepts(
    level: CompressionLevel, accepted: bytes, encoding: bytes | None
) -> None:
    assert response_encoding(level, accepted) == encoding
