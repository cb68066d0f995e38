"""Parts of client regions for tests of what parses requests."""

from __future__ import annotations

from shoal.gateway.region_part import RegionPart
from shoal.gateway.regions import UnknownRegion


class BytesRegion:
    """A region in this process's own memory."""

    def __init__(self, content: bytes, name: str = "r") -> None:
        self.name = name
        self.nbytes = len(content)
        self.content = bytearray(content)

    def read_into(self, memory: memoryview, offset: int) -> None:
        memory[:] = self.content[offset : offset + len(memory)]

    def write(self, data: memoryview | bytes, offset: int) -> None:
        self.content[offset : offset + len(data)] = data


def no_part(name: str, offset: int, nbytes: int) -> RegionPart:
    """What a gateway without regions finds."""
    raise UnknownRegion(f"Unable to find shared memory region: '{name}'")
