"""A segment as its owner has it: the file, its lock, its memory.

The file has no name before it is whole and locked, so nobody ever sees a segment of a living owner without its lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from pathlib import Path

from shoal.memory.host import link
from shoal.memory.layout import (
    BLOCK_FIELDS,
    BLOCK_FIELDS_OFFSET,
    BLOCK_HEADER,
    GENERATION_NBYTES,
    TABLE_OFFSET,
    Header,
    write_alive_at,
    write_retired,
)

_ROW_WORDS = BLOCK_HEADER.size // GENERATION_NBYTES
_TABLE_WORD = TABLE_OFFSET // GENERATION_NBYTES


class OwnSegment:
    """`memory` is the whole file, writable; views of it keep it mapped after the segment is gone."""

    __slots__ = ("_descriptor", "_path", "_words", "block_nbytes", "data_offset", "memory", "name")

    def __init__(self, path: Path, header: Header) -> None:
        """Make the file (mode 0600). Raises OSError: ENOSPC when the file system is full, EMFILE without descriptors,
        EEXIST when the name is taken."""
        self.name = path.name
        self.block_nbytes = header.block_nbytes
        self.data_offset = header.data_offset
        self._path = path
        self._descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # A write to a page that the file system cannot provide would be SIGBUS: have all of them now.
            os.posix_fallocate(self._descriptor, 0, header.segment_nbytes)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(self._descriptor, header.encode(), 0)
            link(self._descriptor, path)
            self.memory = self._map(header.segment_nbytes)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._words = self.memory.cast("Q")

    def _map(self, nbytes: int) -> memoryview:
        try:
            # Not by our descriptor, of which the mapping would keep a copy, and with it, in a forked child, the lock.
            opened = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                # Page by page, the first writes would cost three times as much.
                return memoryview(mmap.mmap(opened, nbytes, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE))
            finally:
                os.close(opened)
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise

    def block_offset(self, index: int) -> int:
        return self.data_offset + index * self.block_nbytes

    def mark_allocated(self, index: int, generation: int, nbytes: int, since: float, holder: bytes) -> None:
        at = TABLE_OFFSET + index * BLOCK_HEADER.size + BLOCK_FIELDS_OFFSET
        BLOCK_FIELDS.pack_into(self.memory, at, nbytes, since, holder)
        self._words[_TABLE_WORD + index * _ROW_WORDS] = generation

    def mark_free(self, index: int) -> None:
        self._words[_TABLE_WORD + index * _ROW_WORDS] = 0

    def mark_alive(self, now: float) -> None:
        write_alive_at(self.memory, now)

    def has_vanished(self) -> bool:
        """Whether somebody removed the file: nobody can map it any more."""
        return os.fstat(self._descriptor).st_nlink == 0

    def retire(self) -> None:
        """Give the memory back: it is free when the last process that has it mapped lets go."""
        write_retired(self.memory)
        if not self.has_vanished():
            # Nothing that a request could be refused for; what stays goes with the next sweep.
            with contextlib.suppress(OSError):
                self._path.unlink()
        self.abandon()

    def abandon(self) -> None:
        """Let go of lock and memory, and leave the file as it is: for a process that only inherited it."""
        os.close(self._descriptor)
        self._words.release()
        # Views of blocks that are still in use keep the mapping itself.
        self.memory = memoryview(b"")
