"""What lies in shared memory, read from the segment files alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from shoal.memory.host import SHM
from shoal.memory.layout import BlockHeader, Header, decode_blocks
from shoal.memory.segment_files import open_own, read_header, segments, try_lock


class Holding(NamedTuple):
    """What one holder has to release in a segment. `holder` is cut to 40 bytes."""

    holder: str
    blocks: int
    nbytes: int


class Segment(NamedTuple):
    """A segment at one moment. `is_alive`: its owner lives. `used_nbytes` are those of the tensors in it, `nbytes` the
    size of the file. `holdings` have the largest first."""

    name: str
    header: Header
    is_alive: bool
    nbytes: int
    used_nbytes: int
    used_blocks: int
    holdings: tuple[Holding, ...]


def inspect(folder: Path = SHM) -> Iterator[Segment]:
    """The segments of this user in the order of their names. Owners may change them meanwhile."""
    for path, _ in segments(folder):
        descriptor = open_own(path)
        if descriptor is not None:
            try:
                header = read_header(descriptor)
                if header is not None:
                    yield _segment(path.name, header, descriptor)
            finally:
                os.close(descriptor)


def _segment(name: str, header: Header, descriptor: int) -> Segment:
    table = decode_blocks(os.pread(descriptor, header.data_offset, 0), header.block_count)
    used = [block for block in table if block.generation]
    return Segment(
        name,
        header,
        is_alive=not try_lock(descriptor),
        nbytes=os.fstat(descriptor).st_size,
        used_nbytes=sum(block.nbytes for block in used),
        used_blocks=len(used),
        holdings=_holdings(used),
    )


def _holdings(used: Iterable[BlockHeader]) -> tuple[Holding, ...]:
    by_holder: dict[str, Holding] = {}
    for block in used:
        before = by_holder.get(block.holder, Holding(block.holder, 0, 0))
        by_holder[block.holder] = Holding(block.holder, before.blocks + 1, before.nbytes + block.nbytes)
    return tuple(sorted(by_holder.values(), key=lambda holding: (-holding.nbytes, holding.holder)))
