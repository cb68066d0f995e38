"""gRPC's layer over HTTP/2."""

from __future__ import annotations

import pytest

from shoal.gateway.grpc.framing import FrameReader, frame, frame_nbytes, parse_timeout_s, unframe
from shoal.gateway.grpc.status import INTERNAL, RESOURCE_EXHAUSTED, RpcError
from shoal.gateway.scattered import Pieces, joined


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(b"1H", 3600), (b"2M", 120), (b"3S", 3), (b"250m", 0.25), (b"5u", 5e-6), (b"99999999n", 0.099999999)],
)
def test_time_limits_are_read(value: bytes, seconds: float) -> None:
    assert parse_timeout_s(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", [b"", b"5", b"S", b"1.5S", b"-1S", b"1s", b"123456789S", b"9" * 5000 + b"H", b"\xb2S"]
)
def test_other_time_limits_are_refused(value: bytes) -> None:
    with pytest.raises(RpcError, match="grpc-timeout"):
        parse_timeout_s(value)


def test_a_framed_message_comes_back_as_a_view() -> None:
    body = frame((b"abc", memoryview(b"de")))
    assert body == b"\0\0\0\0\x05abcde"
    message = unframe(body).message
    assert isinstance(message, memoryview)
    assert bytes(message) == b"abcde" and message.obj is body


@pytest.mark.parametrize("cuts", [(1, 3), (5, 6), (7, 9), (10, 10)])
def test_a_message_in_pieces_comes_back_in_pieces(cuts: tuple[int, int]) -> None:
    body = memoryview(frame((b"abcde",)))
    first, second = cuts
    received = unframe(Pieces([body[:first], body[first:second], body[second:]]))
    assert joined(received.message) == memoryview(b"abcde")


def status(body: bytes) -> int:
    with pytest.raises(RpcError) as caught:
        unframe(body)
    return caught.value.status


def test_bodies_that_are_not_one_frame_are_refused() -> None:
    assert status(b"") == INTERNAL
    assert status(b"\0\0\0\0\x05abcd") == INTERNAL
    assert status(b"\0\0\0\0\x01a\0\0\0\0\x01b") == INTERNAL


def test_a_message_above_the_limit_is_refused_by_its_prefix() -> None:
    assert frame_nbytes(b"\0\x7f\xff\xff\xff") == 2**31 + 4
    with pytest.raises(RpcError) as caught:
        frame_nbytes(b"\0\x80\0\0\0")
    assert caught.value.status == RESOURCE_EXHAUSTED


@pytest.mark.parametrize("size", range(1, 24))
def test_messages_are_found_wherever_the_body_is_cut(size: int) -> None:
    body = frame((b"abc",)) + frame((b"",)) + frame((b"x" * 20,), is_compressed=True)
    reader, found = FrameReader(), []
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
        while (received := reader.next()) is not None:
            found.append((received.is_compressed, bytes(joined(received.message))))
    reader.end()
    assert found == [(False, b"abc"), (False, b""), (True, b"x" * 20)]


def test_a_whole_message_in_a_piece_is_a_view_of_it() -> None:
    body, reader = frame((b"abc",)), FrameReader()
    reader.feed(body)
    received = reader.next()
    assert received is not None and isinstance(received.message, memoryview) and received.message.obj is body


@pytest.mark.parametrize("length", [1, 5, 7])
def test_a_body_that_ends_in_the_middle_of_a_message_is_refused(length: int) -> None:
    reader = FrameReader()
    reader.feed(frame((b"abc",))[:length])
    assert reader.next() is None
    with pytest.raises(RpcError, match="in the middle of a message"):
        reader.end()


def test_a_message_above_the_limit_is_refused_before_it_comes() -> None:
    reader = FrameReader()
    reader.feed(b"\0\x80\0\0\0")
    with pytest.raises(RpcError) as caught:
        reader.next()
    assert caught.value.status == RESOURCE_EXHAUSTED
