from __future__ import annotations

from gateway_models import int32
from shoal.core.tensors import Tensor
from shoal.gateway.scattered import PieceReader, Pieces, ScatteredTensor, contiguous, joined, views_of


def test_pieces_have_the_length_of_their_bytes() -> None:
    assert len(Pieces([memoryview(b"abc"), memoryview(b"de")])) == 5


def test_a_scattered_tensor_is_joined_by_a_copy_and_another_one_is_not() -> None:
    scattered = ScatteredTensor("X", "UINT8", (5,), Pieces([memoryview(b"abc"), memoryview(b"de")]))
    assert contiguous(scattered) == Tensor("X", "UINT8", (5,), b"abcde")
    whole = int32("X", [1])
    assert contiguous(whole) is whole


def test_bytes_in_one_piece_are_their_only_view() -> None:
    assert views_of(b"ab") == (b"ab",)
    assert b"".join(views_of(Pieces([memoryview(b"a"), memoryview(b"b")]))) == b"ab"


def test_bytes_are_taken_from_the_front_across_pieces() -> None:
    reader = PieceReader([b"", b"abc", memoryview(b"de"), b"", b"f"])
    taken = [reader.take(nbytes) for nbytes in (0, 1, 2, 0, 3)]
    assert [bytes(joined(part)) for part in taken] == [b"", b"a", b"bc", b"", b"def"]
    assert [type(part) for part in taken] == [memoryview, memoryview, memoryview, memoryview, Pieces]
    assert reader.left == 0
