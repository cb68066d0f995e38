from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.bus.frames import FrameError, bundle_prefix, cut, is_fragment, part_prefix, read_bundle, read_piece

SENDER = "gateway-0123456789ab"

messages = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=50), st.binary(max_size=300)), max_size=8)


def bundle(sender: str, parts: list[tuple[int, bytes, bytes]]) -> bytes:
    framed = [part_prefix(kind, len(header), len(payload)) + header + payload for kind, header, payload in parts]
    return bundle_prefix(sender) + b"".join(framed)


@given(st.text(alphabet="abcdef-0123456789", min_size=1, max_size=100), messages)
def test_bundle_gives_back_sender_and_messages_in_order(sender: str, parts: list[tuple[int, bytes, bytes]]) -> None:
    who, found = read_bundle(bundle(sender, parts))
    assert who == sender
    assert [(kind, bytes(header), bytes(payload)) for kind, header, payload in found] == parts


def test_bundle_encoding_is_pinned() -> None:
    frame = bundle("a-1", [(4, b"\x91\x01", b"pay")])
    assert frame == b"S\x01\xa3a-1" + b"\x04\x02\x00\x00\x00\x03\x00\x00\x00" + b"\x91\x01" + b"pay"


def test_fragment_encoding_is_pinned() -> None:
    fragments = [b"".join(pieces) for pieces in cut([b"abcdef"], 6, "a-1", 7, 22)]
    assert fragments == [
        b"F\x01\xa3a-1" + b"\x07\x00\x00\x00" + b"\x00\x00\x00\x00" + b"\x06\x00\x00\x00" + b"abcd",
        b"F\x01\xa3a-1" + b"\x07\x00\x00\x00" + b"\x04\x00\x00\x00" + b"\x06\x00\x00\x00" + b"ef",
    ]
    assert all(map(is_fragment, fragments))
    assert not is_fragment(bundle("a-1", []))


@given(st.lists(st.binary(max_size=100), max_size=10), st.integers(60, 200))
def test_fragments_stay_within_the_limit_and_hold_every_byte(chunks: list[bytes], limit: int) -> None:
    whole = b"".join(chunks) or b"x"
    fragments = [b"".join(pieces) for pieces in cut(chunks if any(chunks) else [b"x"], len(whole), SENDER, 1, limit)]
    pieces = [read_piece(fragment) for fragment in fragments]
    assert all(len(fragment) <= limit for fragment in fragments)
    assert b"".join(piece.data for piece in pieces) == whole
    assert {(piece.sender, piece.number, piece.total_nbytes) for piece in pieces} == {(SENDER, 1, len(whole))}


def test_cutting_copies_nothing_and_takes_any_contiguous_view() -> None:
    view = memoryview(bytearray(range(8))).cast("I")
    (fragment,) = cut([view], view.nbytes, SENDER, 1, 1024)
    assert b"".join(fragment[2:]) == bytes(range(8))


@given(st.integers(0, 200), messages)
def test_bundle_that_was_cut_short_is_refused_or_whole(nbytes: int, parts: list[tuple[int, bytes, bytes]]) -> None:
    frame = bundle(SENDER, parts)[:nbytes]
    try:
        _, found = read_bundle(frame)
    except FrameError:
        return
    assert sum(9 + len(header) + len(payload) for _, header, payload in found) + len(bundle_prefix(SENDER)) == len(
        frame
    )


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    for read in (read_bundle, read_piece):
        for prefix in (b"", b"S\x01", b"F\x01", b"S\x01\xd9"):
            try:
                read(prefix + frame)
            except FrameError:
                continue


def test_other_version_is_refused() -> None:
    with pytest.raises(FrameError, match="one release"):
        read_bundle(b"S\x02\xa3a-1")


def test_fragment_beyond_its_bundle_is_refused() -> None:
    (fragment,) = cut([b"abc"], 2, SENDER, 1, 1024)
    with pytest.raises(FrameError, match="bundle of 2 bytes"):
        read_piece(b"".join(fragment))
