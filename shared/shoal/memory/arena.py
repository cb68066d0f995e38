"""The shared memory that a process writes: blocks for its tensors, which other processes read by reference."""

from __future__ import annotations

import os
import resource
import threading
import time
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path

from shoal.core.errors import InvalidArgument, Unavailable
from shoal.core.tensors import ARENA, ArenaRef
from shoal.memory.filesystem import filesystem_nbytes, free_nbytes, size_text
from shoal.memory.host import SHM, host_id
from shoal.memory.layout import Header, data_offset, is_owner_name, segment_name, segment_nbytes
from shoal.memory.own_segment import OwnSegment
from shoal.memory.slabs import Growth, Slab, Slabs, block_size, least_size
from shoal.memory.sweep import sweep
from shoal.telemetry.logs import get_logger

#: An idle segment is kept for so long: fresh pages cost more than the copy into them.
IDLE_S = 10.0
#: How often a living arena looks for segments of dead owners.
SWEEP_INTERVAL_S = 5.0

_log = get_logger("memory")


class ArenaFull(Unavailable):
    """The arena has no room for a block, which may change as soon as others are freed."""


class Block:
    """Memory of an arena for one request or response; its owner fills it and hands out references.

    `memory` is writable, exactly `nbytes` long, and starts at a page's border. It is the owner's until `Arena.free`;
    writing to it afterwards corrupts somebody else's tensors. Not bound to a thread.
    """

    __slots__ = ("_host", "_index", "_offset", "_slab", "generation", "holder", "memory", "nbytes")

    def __init__(
        self, host: str, place: tuple[Slab[OwnSegment], int], generation: int, nbytes: int, holder: str
    ) -> None:
        slab, index = place
        self._host = host
        self._slab = slab
        self._index = index
        self._offset = slab.segment.block_offset(index)
        #: Unique within the arena, from 1.
        self.generation = generation
        self.nbytes = nbytes
        #: Who has to release it: an incarnation, or "scheduler".
        self.holder = holder
        self.memory = slab.segment.memory[self._offset : self._offset + nbytes]

    def ref(self, offset: int, nbytes: int) -> ArenaRef:
        """A reference to `nbytes` bytes at `offset` of the block. Raises InvalidArgument when they are not in it."""
        if offset < 0 or nbytes < 0 or offset + nbytes > self.nbytes:
            raise InvalidArgument(f"bytes {offset} to {offset + nbytes} are not in a block of {self.nbytes} bytes")
        return ArenaRef(ARENA, self._host, self._slab.segment.name, self._offset + offset, nbytes, self.generation)


class Arena:
    """All shared memory that this process owns. Made by `open`; every method may be called from any thread, but not
    from a finalizer, which could interrupt another method of the same thread."""

    def __init__(
        self, owner: str, host: str, limit_nbytes: int, *, folder: Path, server: str, clock: Callable[[], float]
    ) -> None:
        self.owner = owner
        self.host = host
        self.limit_nbytes = limit_nbytes
        self._folder = folder
        self._server = server
        self._clock = clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._slabs: Slabs[OwnSegment] = Slabs(limit_nbytes, _max_segments())
        self._blocks: dict[int, Block] = {}
        self._used_nbytes = 0
        self._generation = 0
        self._number = 0
        self._is_closed = False
        self._sweep_at = clock() + SWEEP_INTERVAL_S
        _watch_forks()
        _arenas.add(self)

    @classmethod
    def open(
        cls,
        owner: str,
        limit_nbytes: int | None = None,
        folder: Path = SHM,
        *,
        server: str = "",
        clock: Callable[[], float] = time.time,
    ) -> Arena:
        """An empty arena, after the segments of dead owners have been removed from `folder`.

        `owner` is the process's incarnation, which the segments are named after, and which never had an arena before.
        `limit_nbytes` bounds the size of all segments together; None: half of the file system. `server` marks the
        segments for `sweep`. `clock` gives Unix seconds. Raises InvalidArgument for an owner that cannot be part of a
        file name, and Unavailable when `folder` cannot be used as shared memory.
        """
        if not is_owner_name(owner):
            raise InvalidArgument(f"'{owner}' cannot own an arena: expected 1 to 64 letters, digits and _ . = -")
        host = host_id(folder)
        if not host:
            raise Unavailable(f"{folder} cannot be used as shared memory: a writable tmpfs is needed there")
        sweep(folder, clock=clock)
        limit = filesystem_nbytes(folder) // 2 if limit_nbytes is None else limit_nbytes
        return cls(owner, host, limit, folder=folder, server=server, clock=clock)

    @property
    def used_nbytes(self) -> int:
        """What the allocated blocks take of the limit: their sizes are up to a quarter larger than what was asked."""
        return self._used_nbytes

    @property
    def capacity_nbytes(self) -> int:
        """The most that all segments could take together if nothing else was in the file system."""
        return min(self.limit_nbytes, filesystem_nbytes(self._folder))

    def could_hold(self, nbytes: int) -> bool:
        """Whether `allocate` would succeed if nothing else was in the arena and the file system."""
        return segment_nbytes(least_size(nbytes), 1) <= self.capacity_nbytes

    def allocate(self, nbytes: int, holder: str) -> Block:
        """A block of `nbytes` bytes with undefined content, to be freed when `holder` releases it.

        Takes microseconds, or a few milliseconds when the arena has to grow. Raises ArenaFull, which may be tried
        again, when there is no room within the limit or in the file system.
        """
        name = holder.encode(errors="replace")
        with self._lock:
            place = self._slabs.take(block_size(nbytes)) or self._grow(nbytes)
            slab, index = place
            self._generation = generation = self._generation + 1
            block = Block(self.host, place, generation, nbytes, holder)
            slab.segment.mark_allocated(index, generation, nbytes, self._clock(), name)
            self._blocks[generation] = block
            self._used_nbytes += slab.block_nbytes
            return block

    def free(self, generation: int) -> bool:
        """Take a block back: its references are void from now on. False when it is not allocated (any more)."""
        with self._lock:
            block = self._blocks.pop(generation, None)
            if block is None:
                return False
            slab = block._slab
            slab.segment.mark_free(block._index)
            self._used_nbytes -= slab.block_nbytes
            self._slabs.give(slab, block._index, self._clock())
            if slab.is_closed and slab.is_idle:
                self._retire(slab)
            return True

    def held(self) -> list[Block]:
        """The allocated blocks, oldest first."""
        with self._lock:
            return list(self._blocks.values())

    def tend(self) -> None:
        """To be called about once a second: says that the owner lives, gives back segments that were idle for 10 s,
        and removes, every 5 s, the segments of owners that do not live any more."""
        with self._lock:
            if self._is_closed:
                return
            now = self._clock()
            for slab in self._slabs:
                slab.segment.mark_alive(now)
                if not slab.is_closed and slab.segment.has_vanished():
                    _log.warning("segment vanished", segment=slab.segment.name, folder=str(self._folder))
                    self._slabs.close(slab)
                if slab.is_idle and (slab.is_closed or not 0 <= now - slab.idle_since < IDLE_S):
                    self._retire(slab)
            is_sweep_due = not 0 <= self._sweep_at - now <= SWEEP_INTERVAL_S
            if is_sweep_due:
                self._sweep_at = now + SWEEP_INTERVAL_S
        if is_sweep_due:
            sweep(self._folder, clock=self._clock)

    def close(self) -> None:
        """Remove every segment: nobody can map them any more, and who has them mapped can read them until it lets go.
        Free the blocks first. Idempotent; in a forked child it only lets go."""
        with self._lock:
            self._is_closed = True
            self._blocks.clear()
            self._used_nbytes = 0
            for slab in self._slabs:
                if os.getpid() == self._pid:
                    self._retire(slab)
                else:
                    self._slabs.remove(slab)
                    slab.segment.abandon()

    def _retire(self, slab: Slab[OwnSegment]) -> None:
        self._slabs.remove(slab)
        slab.segment.retire()

    def _grow(self, nbytes: int) -> tuple[Slab[OwnSegment], int]:
        """A block that fits exactly because room was short once, or one in a segment made for it."""
        if self._is_closed:
            raise Unavailable(f"the arena of '{self.owner}' is closed: this process is ending")
        taken = self._slabs.take(least_size(nbytes))
        if taken is None:
            slab = self._make(nbytes)
            taken = self._slabs.take(slab.block_nbytes)
            assert taken is not None
        return taken

    def _make(self, nbytes: int) -> Slab[OwnSegment]:
        """A segment with blocks for `nbytes`; if that fails, one with a single block for everything that is idle."""
        growth = self._slabs.plan(nbytes, free_nbytes(self._folder))
        if growth is None:
            raise self._full(nbytes)
        try:
            return self._make_segment(growth)
        except OSError:
            for slab in self._slabs.idle():
                self._retire(slab)
        try:
            return self._make_segment(Growth(least_size(nbytes), 1))
        except OSError as error:
            raise self._full(nbytes, f" ({error.strerror})") from error

    def _make_segment(self, growth: Growth[OwnSegment]) -> Slab[OwnSegment]:
        for slab in growth.retire:
            self._retire(slab)
        now = self._clock()
        size, count = growth.block_nbytes, growth.block_count
        self._number += 1
        header = Header(self._pid, now, now, False, size, count, data_offset(count), self.owner, self._server)
        segment = OwnSegment(self._folder / segment_name(self.owner, self._number), header)
        return self._slabs.add(segment, size, count, now)

    def _full(self, nbytes: int, trouble: str = "") -> ArenaFull:
        used, limit = size_text(self._used_nbytes), size_text(self.limit_nbytes)
        free, total = size_text(free_nbytes(self._folder)), size_text(filesystem_nbytes(self._folder))
        return ArenaFull(
            f"shared memory is full: {size_text(nbytes)} were asked for, this process uses {used} of its {limit}, and "
            f"{free} of the {total} of {self._folder} are left{trouble}; try again later, or raise --shm-limit and the "
            "size of the shared memory (shm_size of a container)"
        )


_arenas: weakref.WeakSet[Arena] = weakref.WeakSet()


@cache
def _watch_forks() -> None:
    """A forked child must neither hold the locks of its parent's segments nor ever remove them."""
    os.register_at_fork(after_in_child=_forget_all)


def _forget_all() -> None:
    for arena in list(_arenas):
        arena._lock = threading.Lock()
        arena.close()


def _max_segments() -> int:
    """A segment takes two descriptors; three quarters are left to everything else."""
    return max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 8, 8)
