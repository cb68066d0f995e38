from __future__ import annotations

import gzip
import zlib

import pytest

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.gateway.http.compression import choose, compress, decompress
from shoal.gateway.inflation import Inflator

PLAIN = b"tensor" * 100


async def plain(body: bytes, encoding: str, limit_nbytes: int) -> bytes:
    return b"".join(await decompress(Inflator(), body, encoding, limit_nbytes))


@pytest.mark.parametrize(("encoding", "body"), [("gzip", gzip.compress(PLAIN)), ("deflate", zlib.compress(PLAIN))])
async def test_bodies_are_decompressed(encoding: str, body: bytes) -> None:
    assert await plain(body, encoding, 600) == PLAIN


@pytest.mark.parametrize(("encoding", "body"), [("deflate", gzip.compress(PLAIN)), ("gzip", zlib.compress(PLAIN))])
async def test_a_stream_that_goes_by_the_other_name_is_taken(encoding: str, body: bytes) -> None:
    assert await plain(body, encoding, 600) == PLAIN


async def test_identity_is_no_compression() -> None:
    assert await plain(PLAIN, "identity", 1) == PLAIN
    assert compress(PLAIN, "identity") == PLAIN


async def test_another_encoding_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"^Unsupported compression type$"):
        await plain(PLAIN, "br", 600)


async def test_a_body_that_grows_too_large_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="exceeds the maximum allowed size of 599 bytes"):
        await plain(gzip.compress(PLAIN), "gzip", 599)


@pytest.mark.parametrize("body", [b"no stream", gzip.compress(PLAIN)[:-9]])
async def test_a_body_that_is_no_whole_stream_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match="gzip stream"):
        await plain(body, "gzip", 600)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip, deflate", "gzip"),
        ("deflate;q=0.5, gzip;q=0.8", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("identity, gzip", "identity"),
        ("br, *", "identity"),
        ("gzip;q=x", "identity"),
        ("GZIP", "gzip"),
        ("gzip;q=0.9;x=y, deflate;q=0.8", "gzip"),
        ("deflate ; q = 0.3,, gzip; Q=0.2", "deflate"),
        ("*;q=1, gzip;q=0.1", "gzip"),
        ("identity;q=0, deflate;q=-1", "identity"),
        ("gzip;q=0.5,identity;q=0.9", "identity"),
        ("", "identity"),
    ],
)
def test_the_highest_weight_wins_and_the_first_among_equals(accepted: str, chosen: str) -> None:
    assert choose(accepted) == chosen


def test_compressed_bodies_can_be_read() -> None:
    assert gzip.decompress(compress(PLAIN, "gzip")) == PLAIN
    assert zlib.decompress(compress(PLAIN, "deflate")) == PLAIN
