"""Reads tensors in the arenas of other processes of this host."""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from pathlib import Path

from shoal.core.errors import Unavailable
from shoal.core.tensors import ArenaRef
from shoal.memory.host import SHM
from shoal.memory.layout import (
    BLOCK_HEADER,
    GENERATION_NBYTES,
    TABLE_OFFSET,
    decode_header,
    is_retired,
    owner_of,
)

#: Segments that are mapped at once; each takes a descriptor. The ones unused for longest are unmapped.
MAX_SEGMENTS = 256

_ROW_WORDS = BLOCK_HEADER.size // GENERATION_NBYTES
_TABLE_WORD = TABLE_OFFSET // GENERATION_NBYTES


class Gone(Unavailable):
    """The bytes that a reference names are not there any more: the block was freed, or its owner is gone."""


class ArenaReader:
    """Reads the arenas of one host; keeps at most 256 segments mapped. Every method may be called from any thread.

    The views that it gives stay readable as long as they are referenced, whatever becomes of the segment; what they
    show is the tensor only as long as `is_current` says so.
    """

    def __init__(self, host: str, folder: Path = SHM) -> None:
        """`host` is this process's host id: references to others' memory are refused."""
        self._host = host
        self._folder = folder
        self._lock = threading.Lock()
        self._segments: OrderedDict[str, _Segment] = OrderedDict()

    def view(self, ref: ArenaRef) -> memoryview:
        """The bytes, read-only and not copied. Valid as long as the block's holder has not released it.

        Raises Gone when the block has another generation than the reference, when its segment is not there, and when
        the reference does not fit the segment or this host.
        """
        segment = self._segment(ref)
        segment.check(ref)
        return segment.data[ref.offset : ref.offset + ref.nbytes]

    def copy(self, ref: ArenaRef) -> bytes:
        """The bytes as a copy of one's own, checked before and after. Raises Gone as `view`."""
        segment = self._segment(ref)
        segment.check(ref)
        data = bytes(segment.data[ref.offset : ref.offset + ref.nbytes])
        segment.check(ref)
        return data

    def is_current(self, ref: ArenaRef) -> bool:
        """Whether `view` would succeed: then what was read before this call was the tensor."""
        try:
            self._segment(ref).check(ref)
        except Gone:
            return False
        return True

    def tend(self) -> None:
        """To be called about once a second: lets go of segments that their owner has given back, or that vanished."""
        with self._lock:
            segments = list(self._segments.values())
        gone = [segment for segment in segments if is_retired(segment.data) or not segment.is_there()]
        with self._lock:
            for segment in gone:
                if self._segments.get(segment.name) is segment:
                    del self._segments[segment.name]

    def close(self) -> None:
        """Let go of every segment. Idempotent; views that are in use stay readable."""
        with self._lock:
            self._segments.clear()

    def _segment(self, ref: ArenaRef) -> _Segment:
        if ref.host != self._host or not self._host:
            here = f"host '{self._host}'" if self._host else "a host without shared memory"
            raise Gone(f"{_where(ref)} lies in shared memory of host '{ref.host}', this is {here}")
        name = ref.segment
        with self._lock:
            found = self._segments.get(name)
            if found is not None:
                self._segments.move_to_end(name)
                return found
            opened = self._segments[name] = self._open(ref)
            if len(self._segments) > MAX_SEGMENTS:
                self._segments.popitem(last=False)
            return opened

    def _open(self, ref: ArenaRef) -> _Segment:
        if owner_of(ref.segment) is None:
            raise Gone(f"'{ref.segment}' is not the name of a segment of shared memory")
        try:
            return _Segment(self._folder / ref.segment)
        except FileNotFoundError:
            gone = "the segment is not there any more, its owner has ended or given it back"
            raise Gone(f"{_where(ref)}: {gone}") from None
        except OSError as error:
            raise Gone(f"{_where(ref)} cannot be read: {error.strerror}") from error


class _Segment:
    """A mapped segment. The mapping goes with the last view of it."""

    __slots__ = ("_file", "_path", "block_count", "block_nbytes", "data", "data_offset", "name", "words")

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be opened or mapped, and Gone when it is no segment."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            header = decode_header(os.pread(descriptor, TABLE_OFFSET, 0), status.st_size)
            if header is None:
                raise Gone(f"'{path.name}' is no segment of this release; are all processes of one release?")
            mapping = mmap.mmap(descriptor, header.segment_nbytes, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        self._path = path
        #: By which the path is known to be the same file still.
        self._file = (status.st_dev, status.st_ino)
        self.name = path.name
        self.data = memoryview(mapping)
        self.words = self.data.cast("Q")
        self.block_nbytes = header.block_nbytes
        self.block_count = header.block_count
        self.data_offset = header.data_offset

    def check(self, ref: ArenaRef) -> None:
        """Raise Gone unless the reference lies within a block that has its generation now."""
        _, _, _, offset, nbytes, generation = ref
        index, start = divmod(offset - self.data_offset, self.block_nbytes)
        if not 0 <= index < self.block_count or not 0 <= nbytes <= self.block_nbytes - start:
            raise Gone(f"{_where(ref)}: bytes {offset} to {offset + nbytes} are in none of its blocks")
        found = self.words[_TABLE_WORD + index * _ROW_WORDS]
        if found != generation or not found:
            reused = ", and its memory given to others" if found else ""
            raise Gone(f"{_where(ref)} was freed{reused}: its owner knew of nobody who still needs it")

    def is_there(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file


def _where(ref: ArenaRef) -> str:
    owner = owner_of(ref.segment) or "nobody"
    return f"block {ref.generation} of '{owner}' in segment '{ref.segment}'"
