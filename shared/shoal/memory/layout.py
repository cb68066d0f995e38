"""The form of a segment file: a header, a table of block headers, and the blocks, all of one size.

The table lies apart from the blocks, so that no tensor's bytes can look like a header. All numbers are in the byte
order of the machine; times are Unix seconds. A block's fields are written before its generation, and the generation is
cleared before the block is given to anybody else.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

PAGE_NBYTES = 4096

MAGIC = b"SHOALSEG"
VERSION = 1

#: magic, version, process id, created, alive at, retired, block size, block count, data offset, owner, server.
_HEADER = struct.Struct("=8sIIddQQQQ64s64s")
_ALIVE_AT = struct.Struct("=d")
_RETIRED = struct.Struct("=Q")
_ALIVE_AT_OFFSET = 24
_RETIRED_OFFSET = 32

TABLE_OFFSET = 256
#: generation (0: free), bytes in use, allocated at, holder.
BLOCK_HEADER = struct.Struct("=QQd40s")
#: The same without the generation, which is written last.
BLOCK_FIELDS = struct.Struct("=Qd40s")
BLOCK_FIELDS_OFFSET = 8
GENERATION_NBYTES = 8

_NAME = re.compile(r"shoal-([A-Za-z0-9_.=-]{1,64})-([0-9]+)")
_OWNER = re.compile(r"[A-Za-z0-9_.=-]{1,64}")


class Header(NamedTuple):
    """What a segment says of itself. `alive_at` is when its owner last said that it lives; `server` names the
    `shoal serve` that the owner belongs to (empty: none)."""

    pid: int
    created: float
    alive_at: float
    is_retired: bool
    block_nbytes: int
    block_count: int
    data_offset: int
    owner: str
    server: str

    @property
    def segment_nbytes(self) -> int:
        return self.data_offset + self.block_nbytes * self.block_count

    def encode(self) -> bytes:
        return _HEADER.pack(
            MAGIC,
            VERSION,
            self.pid,
            self.created,
            self.alive_at,
            self.is_retired,
            self.block_nbytes,
            self.block_count,
            self.data_offset,
            self.owner.encode(),
            self.server.encode(),
        )


class BlockHeader(NamedTuple):
    """A row of the table: `generation` 0 means free, and then the rest means nothing."""

    generation: int
    nbytes: int
    since: float
    holder: str


def is_owner_name(text: str) -> bool:
    """Whether segments can be named after `text`."""
    return _OWNER.fullmatch(text) is not None


def segment_name(owner: str, number: int) -> str:
    return f"shoal-{owner}-{number}"


def owner_of(name: str) -> str | None:
    """The owner in a segment's name; None when this is not a segment's name."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def data_offset(block_count: int) -> int:
    """Where the first block starts: at a page's border behind the table."""
    return round_up(TABLE_OFFSET + block_count * BLOCK_HEADER.size, PAGE_NBYTES)


def segment_nbytes(block_nbytes: int, block_count: int) -> int:
    return data_offset(block_count) + block_nbytes * block_count


def round_up(number: int, step: int) -> int:
    return -(-number // step) * step


def decode_header(data: bytes | memoryview, file_nbytes: int) -> Header | None:
    """The header at the front of a file of that size; None for a file that is no whole segment of this version."""
    if len(data) < _HEADER.size:
        return None
    magic, version, pid, created, alive_at, retired, size, count, start, owner, server = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        return None
    header = Header(pid, created, alive_at, bool(retired), size, count, start, text(owner), text(server))
    is_whole = size > 0 and count > 0 and start == data_offset(count) and header.segment_nbytes <= file_nbytes
    return header if is_whole else None


def decode_blocks(data: bytes, block_count: int) -> list[BlockHeader]:
    """The table of a segment: `data` are the file's first bytes, up to the first block."""
    rows = BLOCK_HEADER.iter_unpack(data[TABLE_OFFSET : TABLE_OFFSET + block_count * BLOCK_HEADER.size])
    return [BlockHeader(generation, nbytes, since, text(holder)) for generation, nbytes, since, holder in rows]


def write_alive_at(memory: memoryview, alive_at: float) -> None:
    _ALIVE_AT.pack_into(memory, _ALIVE_AT_OFFSET, alive_at)


def write_retired(memory: memoryview) -> None:
    _RETIRED.pack_into(memory, _RETIRED_OFFSET, 1)


def is_retired(memory: memoryview) -> bool:
    return bool(_RETIRED.unpack_from(memory, _RETIRED_OFFSET)[0])


def text(field: bytes) -> str:
    """A text field without its padding; a character that was cut in half is left out."""
    return field.rstrip(b"\0").decode(errors="ignore")
