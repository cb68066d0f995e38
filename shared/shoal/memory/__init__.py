"""Tensors in memory that processes of one host share: arenas, and DLPack."""

from shoal.memory.arena import Arena, ArenaFull, Block
from shoal.memory.host import SHM, host_id
from shoal.memory.packing import INLINE_LIMIT_NBYTES, Packed, lay_out, pack
from shoal.memory.reader import ArenaReader, Gone
from shoal.memory.settings import open_arena

__all__ = [
    "INLINE_LIMIT_NBYTES",
    "SHM",
    "Arena",
    "ArenaFull",
    "ArenaReader",
    "Block",
    "Gone",
    "Packed",
    "host_id",
    "lay_out",
    "open_arena",
    "pack",
]
