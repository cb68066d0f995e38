"""Run in a mount namespace of its own: `python fill_shared_memory.py FOLDER MIB` mounts a tmpfs of that size at the
folder, and has arenas whose limit is larger than the file system fill it. Prints what came of it as JSON.

Exit code 77: mounting is not permitted here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shoal.memory import Arena, ArenaFull, ArenaReader, host_id

MIB = 2**20


def main(folder: str, mib: str) -> None:
    size = f"size={mib}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        sys.exit(77)
    arena = Arena.open("owner-1", 100 * MIB, Path(folder))
    reader = ArenaReader(host_id(Path(folder)), Path(folder))
    found = {
        "too_large": refusal(arena, 99 * MIB),
        "blocks": fill(arena, reader, 100_000),
        "small_when_full": refusal(arena, 50_000),
        "by_default": Arena.open("owner-2", None, Path(folder)).limit_nbytes,
    }
    for generation in [block.generation for block in arena.held()]:
        arena.free(generation)
    reader.close()
    found["large_when_empty"] = fill(arena, reader, int(mib) * MIB * 3 // 4)
    arena.close()
    found["left"] = sorted(path.name for path in Path(folder).iterdir())
    print(json.dumps(found))


def fill(arena: Arena, reader: ArenaReader, nbytes: int) -> int:
    """How many blocks were to be had; all are written whole, and have what was written in the end."""
    blocks = []
    try:
        while True:
            block = arena.allocate(nbytes, "x")
            block.memory[:] = bytes([block.generation % 256]) * nbytes
            blocks.append(block)
    except ArenaFull:
        for block in blocks:
            assert reader.copy(block.ref(0, nbytes)) == bytes([block.generation % 256]) * nbytes
        return len(blocks)


def refusal(arena: Arena, nbytes: int) -> str:
    try:
        arena.allocate(nbytes, "x")
    except ArenaFull as error:
        return error.message
    return ""


main(*sys.argv[1:])
