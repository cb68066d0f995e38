from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoal.bus.frames import Piece, cut, read_piece
from shoal.bus.reassembly import Reassembler


def pieces_of(data: bytes, sender: str, number: int, limit: int = 60) -> list[Piece]:
    return [read_piece(b"".join(fragment)) for fragment in cut([data], len(data), sender, number, limit)]


@given(st.data())
def test_bundles_of_several_senders_come_whole_however_they_interleave(data: st.DataObject) -> None:
    bundles = data.draw(
        st.dictionaries(
            st.sampled_from(["a-1", "b-2", "c-3"]), st.lists(st.binary(min_size=1, max_size=300), max_size=4)
        )
    )
    limit = data.draw(st.integers(30, 120))
    streams = {
        sender: [piece for number, whole in enumerate(wholes) for piece in pieces_of(whole, sender, number, limit)]
        for sender, wholes in bundles.items()
    }
    reassembler = Reassembler()
    got: dict[str, list[bytes]] = {sender: [] for sender in bundles}
    while any(streams.values()):
        sender = data.draw(st.sampled_from(sorted(sender for sender, stream in streams.items() if stream)))
        whole = reassembler.add(streams[sender].pop(0), 0.0)
        if whole is not None:
            got[sender].append(whole)
    assert got == bundles
    assert reassembler.lost == 0
    assert reassembler.held_nbytes == 0


@given(st.data())
def test_lost_fragments_lose_their_bundle_only_and_are_counted(data: st.DataObject) -> None:
    wholes = [bytes([number]) * data.draw(st.integers(1, 200)) for number in range(6)]
    reassembler = Reassembler()
    got: list[bytes] = []
    expected: list[bytes] = []
    touched = 0
    for number, whole in enumerate(wholes):
        pieces = pieces_of(whole, "a-1", number)
        dropped = data.draw(st.sets(st.integers(0, len(pieces) - 1)))
        kept = [piece for index, piece in enumerate(pieces) if index not in dropped]
        touched += bool(dropped) and bool(kept)
        if not dropped:
            expected.append(whole)
        for piece in kept:
            done = reassembler.add(piece, 0.0)
            if done is not None:
                got.append(done)
    reassembler.expire(1000.0)
    assert got == expected
    assert reassembler.lost == touched
    assert reassembler.held_nbytes == 0


def test_sender_that_falls_silent_is_given_up_after_its_age() -> None:
    reassembler = Reassembler(limit_age_s=10.0)
    first, *_ = pieces_of(b"x" * 100, "a-1", 1)
    assert reassembler.add(first, 0.0) is None
    reassembler.expire(10.0)
    assert reassembler.held_nbytes == 100
    reassembler.expire(10.5)
    assert (reassembler.held_nbytes, reassembler.lost) == (0, 1)


def test_bytes_are_bounded() -> None:
    reassembler = Reassembler(limit_nbytes=150)
    assert reassembler.add(pieces_of(b"x" * 100, "a-1", 1)[0], 0.0) is None
    for piece in pieces_of(b"y" * 100, "b-2", 1):
        assert reassembler.add(piece, 0.0) is None
    assert (reassembler.held_nbytes, reassembler.lost) == (100, 1)


def test_senders_are_bounded() -> None:
    reassembler = Reassembler(limit_count=2)
    for sender in ("a-1", "b-2", "c-3"):
        reassembler.add(pieces_of(b"x" * 100, sender, 1)[0], 0.0)
    assert (reassembler.held_nbytes, reassembler.lost) == (200, 1)
