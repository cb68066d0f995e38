from __future__ import annotations

import gzip
import zlib

import pytest

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.gateway.http.compression import choose, compress, decompress

PLAIN = b"tensor" * 100


@pytest.mark.parametrize(("encoding", "body"), [("gzip", gzip.compress(PLAIN)), ("deflate", zlib.compress(PLAIN))])
def test_bodies_are_decompressed(encoding: str, body: bytes) -> None:
    assert decompress(body, encoding, 600) == PLAIN


def test_identity_is_no_compression() -> None:
    assert decompress(PLAIN, "identity", 1) == PLAIN
    assert compress(PLAIN, "identity") == PLAIN


def test_another_encoding_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"^Unsupported compression type$"):
        decompress(PLAIN, "br", 600)


def test_a_body_that_grows_too_large_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="exceeds the maximum allowed size of 599 bytes"):
        decompress(gzip.compress(PLAIN), "gzip", 599)


@pytest.mark.parametrize("body", [b"no stream", gzip.compress(PLAIN)[:-9]])
def test_a_body_that_is_no_whole_stream_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument, match="gzip stream"):
        decompress(body, "gzip", 600)


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
    ],
)
def test_the_highest_weight_wins_and_the_first_among_equals(accepted: str, chosen: str) -> None:
    assert choose(accepted) == chosen


def test_compressed_bodies_can_be_read() -> None:
    assert gzip.decompress(compress(PLAIN, "gzip")) == PLAIN
    assert zlib.decompress(compress(PLAIN, "deflate")) == PLAIN
