from __future__ import annotations

import pytest

from shoal.core.tensors import INLINE, ArenaRef, Inline, Tensor, resolve
from shoal.memory import INLINE_LIMIT_NBYTES, Arena, ArenaFull, ArenaReader, pack

KIB = 1024


def tensor(name: str, nbytes: int) -> Tensor:
    return Tensor(name, "UINT8", (nbytes,), name[:1].encode() * nbytes)


def test_large_tensors_lie_in_one_block_and_small_ones_in_the_payload(arena: Arena, reader: ArenaReader) -> None:
    tensors = [tensor("a", 10), tensor("b", 5000), tensor("c", 20), tensor("d", 300 * KIB)]
    packed = pack(tensors, arena, "scheduler")
    assert packed.block is not None
    assert (packed.block.holder, len(arena.held())) == ("scheduler", 1)
    assert [type(header.ref) for header in packed.headers] == [Inline, ArenaRef, Inline, ArenaRef]
    payload = memoryview(b"".join(packed.buffers))
    assert [resolve(header, payload, reader.copy) for header in packed.headers] == tensors


def test_the_limit_itself_is_inline(arena: Arena) -> None:
    packed = pack([tensor("a", INLINE_LIMIT_NBYTES)], arena, "scheduler")
    assert (packed.block, packed.headers[0].ref) == (None, Inline(INLINE, 0, INLINE_LIMIT_NBYTES))
    assert pack([tensor("a", INLINE_LIMIT_NBYTES + 1)], arena, "scheduler").block is not None


def test_what_is_named_inline_is_not_put_into_the_block(arena: Arena) -> None:
    packed = pack([tensor("a", 10_000), tensor("b", 10_000)], arena, "scheduler", inline={"a"})
    assert [type(header.ref) for header in packed.headers] == [Inline, ArenaRef]
    assert packed.block is not None
    assert packed.block.nbytes == 10_000


def test_without_an_arena_everything_is_the_payload_uncopied() -> None:
    tensors = [tensor("a", 10), tensor("b", 10_000)]
    packed = pack(tensors, None, "scheduler")
    assert packed.block is None
    assert all(buffer is data for buffer, (*_, data) in zip(packed.buffers, tensors, strict=True))
    assert [header.ref for header in packed.headers] == [Inline(INLINE, 0, 10), Inline(INLINE, 10, 10_000)]


def test_tensors_are_aligned(arena: Arena) -> None:
    packed = pack([tensor("a", 5001), tensor("b", 5000), tensor("c", 300 * KIB)], arena, "scheduler")
    offsets = [header.ref.offset for header in packed.headers]
    assert all(offset % 64 == 0 for offset in offsets)


def test_no_tensors_are_nothing(arena: Arena) -> None:
    assert pack([], arena, "scheduler") == ((), [], None)


def test_a_full_arena_allocates_nothing(arena: Arena) -> None:
    with pytest.raises(ArenaFull):
        pack([tensor("a", 10_000), tensor("b", 9 * 2**20)], arena, "scheduler")
    assert arena.held() == []
