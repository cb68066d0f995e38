"""A piece of a client's shared-memory region, which a tensor is read from or written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from shoal.core.errors import InvalidArgument


class Region(Protocol):
    """A region of `nbytes` bytes, wherever its memory is. It stays usable for as long as it is referred to; methods
    block for the copy, and may be called from any thread."""

    name: str
    nbytes: int

    def read_into(self, memory: memoryview, offset: int) -> None:
        """Fill `memory` from `offset`. Raises InvalidArgument when the bytes are not there any more."""
        ...

    def write(self, data: memoryview | bytes, offset: int) -> None:
        """Write `data` at `offset`. Raises InvalidArgument when that is not there any more."""
        ...


class RegionPart:
    """`len` bytes of a region, which is kept for as long as this is: also when it is unregistered meanwhile."""

    __slots__ = ("_nbytes", "_offset", "_region")

    def __init__(self, region: Region, offset: int, nbytes: int) -> None:
        """Raises InvalidArgument in Triton's words when these bytes are not all in the region. None at its very start
        are not, either: they are what a forgotten size asks for."""
        if not 0 <= offset < region.nbytes:
            raise InvalidArgument(f"Invalid offset for shared memory region: '{region.name}'")
        if nbytes < 0 or not 0 < offset + nbytes <= region.nbytes:
            raise InvalidArgument(f"Invalid offset + byte size for shared memory region: '{region.name}'")
        self._region = region
        self._offset = offset
        self._nbytes = nbytes

    def __len__(self) -> int:
        return self._nbytes

    def read_into(self, memory: memoryview) -> None:
        """Fill `memory`, which is as long as this part. Blocks; raises as `Region.read_into`."""
        self._region.read_into(memory, self._offset)

    def read(self) -> memoryview:
        """The bytes as a copy of one's own. Blocks; raises as `Region.read_into`."""
        data = memoryview(bytearray(self._nbytes))
        self._region.read_into(data, self._offset)
        return data

    def write(self, data: memoryview | bytes) -> None:
        """Write `data`, which is no longer than this part, to its start. Blocks; raises as `Region.write`."""
        self._region.write(data, self._offset)


#: Gives the part of a registered region by the region's name, offset and size in bytes.
FindPart = Callable[[str, int, int], RegionPart]
