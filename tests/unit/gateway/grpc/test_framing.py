"""gRPC's layer over HTTP/2."""

from __future__ import annotations

import gzip
import zlib

import pytest

from shoal.gateway.grpc.framing import frame, frame_nbytes, parse_timeout_s, unframe
from shoal.gateway.grpc.status import INTERNAL, RESOURCE_EXHAUSTED, UNIMPLEMENTED, RpcError
from shoal.gateway.scattered import Pieces, joined


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"5u", 5e-6), (b"99999999n", 0.099999999)],
)
def test_time_limits_are_read(value: bytes, seconds: float) -> None:
    assert parse_timeout_s(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [b"", b"5", b"S", b"1.5S", b"-1S", b"1s"])
def test_other_time_limits_are_refused(value: bytes) -> None:
    with pytest.raises(RpcError, match="grpc-timeout"):
        parse_timeout_s(value)


def test_a_framed_message_comes_back_as_a_view() -> None:
    body = frame((b"abc", memoryview(b"de")))
    assert body == b"\0\0\0\0\x05abcde"
    message = unframe(body, b"")
    assert isinstance(message, memoryview)
    assert bytes(message) == b"abcde" and message.obj is body


@pytest.mark.parametrize("cuts", [(1, 3), (5, 6), (7, 9), (10, 10)])
def test_a_message_in_pieces_comes_back_in_pieces(cuts: tuple[int, int]) -> None:
    body = memoryview(frame((b"abcde",)))
    first, second = cuts
    assert joined(unframe(Pieces([body[:first], body[first:second], body[second:]]), b"")) == memoryview(b"abcde")


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_compressed_messages_are_decompressed(encoding: bytes, compress: type[bytes]) -> None:
    packed = compress(b"a" * 1000)
    body = b"\1" + len(packed).to_bytes(4) + packed
    assert joined(unframe(body, encoding)) == memoryview(b"a" * 1000)
    assert joined(unframe(Pieces([memoryview(body)[:9], memoryview(body)[9:]]), encoding)) == memoryview(b"a" * 1000)


def status(body: bytes, encoding: bytes = b"") -> int:
    with pytest.raises(RpcError) as caught:
        unframe(body, encoding)
    return caught.value.status


def test_bodies_that_are_not_one_frame_are_refused() -> None:
    assert status(b"") == INTERNAL
    assert status(b"\0\0\0\0\x05abcd") == INTERNAL
    assert status(b"\0\0\0\0\x01a\0\0\0\0\x01b") == INTERNAL


def test_unknown_compression_is_refused() -> None:
    assert status(b"\1\0\0\0\x01a", b"snappy") == UNIMPLEMENTED


def test_broken_compression_is_refused() -> None:
    assert status(b"\1\0\0\0\x01a", b"gzip") == INTERNAL
    packed = gzip.compress(b"a" * 1000)[:-9]
    assert status(b"\1" + len(packed).to_bytes(4) + packed, b"gzip") == INTERNAL


def test_a_message_above_the_limit_is_refused_by_its_prefix() -> None:
    assert frame_nbytes(b"\0\x7f\xff\xff\xff") == 2**31 + 4
    with pytest.raises(RpcError) as caught:
        frame_nbytes(b"\0\x80\0\0\0")
    assert caught.value.status == RESOURCE_EXHAUSTED
