"""Which block a tensor gets, when an arena grows and what it gives back: pure, the segments themselves are the arena's.

A slab is the free blocks of one segment, all of one size. Sizes are four per doubling, so that at most a fifth of a
block is wasted and a freed block soon fits again; those blocks are taken first that were freed last, since their memory
is still in the caches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from shoal.memory.layout import PAGE_NBYTES, round_up, segment_nbytes

S = TypeVar("S")

MIN_BLOCK_NBYTES = 8192

#: A segment takes a quarter of what its size of blocks has already, within these bounds: few segments (each costs two
#: descriptors, and every reader one), and no long stop for a new one (1 MiB: 0.4 ms; 32 MiB: 12 ms).
_MIN_GROWTH_NBYTES = 2**20
_MAX_GROWTH_NBYTES = 32 * 2**20
#: A small arena holds blocks of so many sizes at least, before the one size has to wait until the other is idle.
_SIZES_WITHIN_LIMIT = 8


def block_size(nbytes: int) -> int:
    """The size of the block that `nbytes` bytes go to: 8, 12, 16 ... 32, 40, 48, 56, 64, 80 KiB and so on."""
    if nbytes <= 8 * PAGE_NBYTES:
        return max(round_up(nbytes, PAGE_NBYTES), MIN_BLOCK_NBYTES)
    return round_up(nbytes, 1 << ((nbytes - 1).bit_length() - 3))


def least_size(nbytes: int) -> int:
    """The size of the smallest block that holds `nbytes` bytes, for where room is short."""
    return max(round_up(nbytes, PAGE_NBYTES), PAGE_NBYTES)


class Slab(Generic[S]):
    """The blocks of one segment. `free` are the numbers of those that are not allocated; `idle_since` means something
    only while `is_idle`. A closed slab gives no more blocks."""

    __slots__ = ("block_count", "block_nbytes", "free", "idle_since", "is_closed", "nbytes", "segment")

    def __init__(self, segment: S, block_nbytes: int, block_count: int, now: float) -> None:
        self.segment = segment
        self.block_nbytes = block_nbytes
        self.block_count = block_count
        self.nbytes = segment_nbytes(block_nbytes, block_count)
        self.free = list(range(block_count - 1, -1, -1))
        self.idle_since = now
        self.is_closed = False

    @property
    def is_idle(self) -> bool:
        return len(self.free) == self.block_count


@dataclass(frozen=True)
class Growth(Generic[S]):
    """A segment to be made, and the idle ones that have to go before it."""

    block_nbytes: int
    block_count: int
    retire: tuple[Slab[S], ...] = ()


class Slabs(Generic[S]):
    """The slabs of one arena, which together take at most `limit_nbytes` in at most `max_segments` segments."""

    def __init__(self, limit_nbytes: int, max_segments: int) -> None:
        self.limit_nbytes = limit_nbytes
        #: What all segments take, their headers included.
        self.nbytes = 0
        self._max_segments = max_segments
        self._slabs: dict[Slab[S], None] = {}
        #: By size, those that have a free block: the last is used first.
        self._with_room: dict[int, list[Slab[S]]] = {}

    def __iter__(self) -> Iterator[Slab[S]]:
        return iter(tuple(self._slabs))

    def take(self, size: int) -> tuple[Slab[S], int] | None:
        """A free block of exactly that size: its slab and number. None when there is none."""
        slabs = self._with_room.get(size)
        if not slabs:
            return None
        slab = slabs[-1]
        index = slab.free.pop()
        if not slab.free:
            slabs.pop()
        return slab, index

    def give(self, slab: Slab[S], index: int, now: float) -> None:
        """Take a block back."""
        if not slab.free and not slab.is_closed:
            self._with_room.setdefault(slab.block_nbytes, []).append(slab)
        slab.free.append(index)
        if slab.is_idle:
            slab.idle_since = now

    def plan(self, nbytes: int, free_nbytes: int) -> Growth[S] | None:
        """How to make room for a block of `nbytes` where the file system has `free_nbytes` left; None when that and the
        limit do not allow it, whatever is given back. Where room is short, the block is no larger than it must be."""
        room = min(self.limit_nbytes - self.nbytes, free_nbytes)
        return self._plan(block_size(nbytes), room) or self._plan(least_size(nbytes), room)

    def add(self, segment: S, block_nbytes: int, block_count: int, now: float) -> Slab[S]:
        slab = Slab(segment, block_nbytes, block_count, now)
        self._slabs[slab] = None
        self._with_room.setdefault(block_nbytes, []).append(slab)
        self.nbytes += slab.nbytes
        return slab

    def close(self, slab: Slab[S]) -> None:
        """Let the slab give no more blocks."""
        if not slab.is_closed:
            slab.is_closed = True
            if slab.free:
                self._with_room[slab.block_nbytes].remove(slab)

    def remove(self, slab: Slab[S]) -> None:
        """Forget the slab, whose segment is given back."""
        self.close(slab)
        del self._slabs[slab]
        self.nbytes -= slab.nbytes

    def idle(self) -> list[Slab[S]]:
        """Slabs without an allocated block, the one longest idle first."""
        return sorted((slab for slab in self._slabs if slab.is_idle), key=lambda slab: slab.idle_since)

    def _plan(self, size: int, room: int) -> Growth[S] | None:
        slots = self._max_segments - len(self._slabs)
        idle = self.idle()
        retire: list[Slab[S]] = []
        while room < segment_nbytes(size, 1) or slots < 1:
            if len(retire) == len(idle):
                return None
            retire.append(idle[len(retire)])
            room += retire[-1].nbytes
            slots += 1
        return Growth(size, min(self._wanted(size), _fitting(size, room)), tuple(retire))

    def _wanted(self, size: int) -> int:
        present = sum(slab.nbytes for slab in self._slabs if slab.block_nbytes == size)
        least = max(present // 4, _MIN_GROWTH_NBYTES)
        return max(1, min(least, _MAX_GROWTH_NBYTES, self.limit_nbytes // _SIZES_WITHIN_LIMIT) // size)


def _fitting(size: int, room: int) -> int:
    """How many blocks fit into a segment of at most `room` bytes."""
    count = room // size
    while segment_nbytes(size, count) > room:
        count -= 1
    return count
