from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.memory.layout import segment_nbytes
from shoal.memory.slabs import Growth, Slab, Slabs, block_size, least_size

KIB = 1024
MIB = 1024 * KIB


def grown(slabs: Slabs[str], name: str, nbytes: int, now: float = 0.0) -> Slab[str]:
    growth = slabs.plan(nbytes, free_nbytes=2**40)
    assert growth is not None
    for slab in growth.retire:
        slabs.remove(slab)
    return slabs.add(name, growth.block_nbytes, growth.block_count, now)


@pytest.mark.parametrize(
    ("nbytes", "expected_kib"),
    [(1, 8), (8 * KIB, 8), (8 * KIB + 1, 12), (33 * KIB, 40), (64 * KIB, 64), (65 * KIB, 80), (600 * KIB, 640)],
)
def test_sizes_go_in_four_steps_per_doubling(nbytes: int, expected_kib: int) -> None:
    assert block_size(nbytes) == expected_kib * KIB


@given(st.integers(min_value=8 * KIB, max_value=2**34))
def test_a_size_fits_and_wastes_little(nbytes: int) -> None:
    size = block_size(nbytes)
    assert size >= nbytes
    assert size % 4096 == 0
    assert size - nbytes < max(4096, size / 5 + 1)
    assert block_size(size) == size


def test_the_block_freed_last_is_taken_first() -> None:
    slabs: Slabs[str] = Slabs(8 * MIB, 16)
    grown(slabs, "a", 64 * KIB)
    taken = [slabs.take(64 * KIB) for _ in range(3)]
    assert taken[1] is not None
    slabs.give(*taken[1], 1.0)
    assert slabs.take(64 * KIB) == taken[1]


def test_a_size_without_a_free_block_gives_none() -> None:
    slabs: Slabs[str] = Slabs(8 * MIB, 16)
    grown(slabs, "a", 64 * KIB)
    assert slabs.take(80 * KIB) is None


def test_segments_grow_with_what_their_size_has_already() -> None:
    slabs: Slabs[str] = Slabs(2**34, 1000)
    sizes = [grown(slabs, str(number), 64 * KIB).nbytes for number in range(40)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 1.1 * MIB
    assert 31 * MIB < sizes[-1] < 33 * MIB


def test_a_large_block_has_a_segment_of_its_own() -> None:
    slabs: Slabs[str] = Slabs(2**30, 100)
    assert grown(slabs, "a", 8 * MIB).block_count == 1


def test_one_size_leaves_room_for_others_in_a_small_arena() -> None:
    slabs: Slabs[str] = Slabs(512 * KIB, 100)
    assert grown(slabs, "a", 8 * KIB).nbytes <= 68 * KIB


def test_idle_segments_go_when_another_size_needs_room_the_longest_idle_first() -> None:
    slabs: Slabs[str] = Slabs(5 * MIB + 64 * KIB, 16)
    a, b = grown(slabs, "a", 2 * MIB, now=2.0), grown(slabs, "b", 2 * MIB, now=1.0)
    assert slabs.plan(3 * MIB, 2**40) == Growth(3 * MIB, 1, (b,))
    assert slabs.plan(4 * MIB, 2**40) == Growth(4 * MIB, 1, (b, a))


def test_segments_in_use_stay() -> None:
    slabs: Slabs[str] = Slabs(5 * MIB, 16)
    grown(slabs, "a", 4 * MIB)
    assert slabs.take(4 * MIB) is not None
    assert slabs.plan(2 * MIB, 2**40) is None


def test_where_room_is_short_the_block_is_no_larger_than_it_must_be() -> None:
    slabs: Slabs[str] = Slabs(5 * MIB + 200 * KIB, 16)
    assert slabs.plan(5 * MIB + 100 * KIB, 2**40) == Growth(5 * MIB + 100 * KIB, 1, ())


def test_a_file_system_with_little_room_counts_as_the_limit_does() -> None:
    slabs: Slabs[str] = Slabs(8 * MIB, 16)
    assert slabs.plan(64 * KIB, free_nbytes=200 * KIB) == Growth(64 * KIB, 3, ())
    assert slabs.plan(256 * KIB, free_nbytes=200 * KIB) is None


def test_the_number_of_segments_is_bounded() -> None:
    slabs: Slabs[str] = Slabs(2**30, 2)
    for name in "ab":
        grown(slabs, name, 8 * MIB)
        slabs.take(8 * MIB)
    assert slabs.plan(8 * KIB, 2**40) is None


def test_a_closed_slab_gives_no_more_blocks() -> None:
    slabs: Slabs[str] = Slabs(8 * MIB, 16)
    slab = grown(slabs, "a", 64 * KIB)
    taken = slabs.take(64 * KIB)
    assert taken is not None
    slabs.close(slab)
    slabs.give(*taken, 1.0)
    assert slabs.take(64 * KIB) is None
    assert slab.is_idle


@given(st.integers(min_value=0, max_value=8 * MIB), st.integers(min_value=1, max_value=8 * MIB))
def test_a_plan_stays_within_the_limit(limit_nbytes: int, nbytes: int) -> None:
    growth = Slabs[str](limit_nbytes, 16).plan(nbytes, 2**40)
    if growth is None:
        assert segment_nbytes(least_size(nbytes), 1) > limit_nbytes
    else:
        assert segment_nbytes(growth.block_nbytes, growth.block_count) <= limit_nbytes
        assert growth.block_nbytes >= nbytes
