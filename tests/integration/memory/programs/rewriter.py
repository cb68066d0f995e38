"""`python rewriter.py FOLDER`: allocates blocks full of one byte, writes the reference of the last one into the file
`latest`, and frees each a moment later, so that the memory is written again while others still read it."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from pathlib import Path

from shoal.memory import Arena

NBYTES = 200_000


def main(folder: str) -> None:
    arena = Arena.open("rewriter-1", 2**22, Path(folder))
    latest = os.open(f"{folder}/latest", os.O_WRONLY | os.O_CREAT, 0o600)
    generations: deque[int] = deque()
    while True:
        block = arena.allocate(NBYTES, "x")
        block.memory[:] = bytes([block.generation % 256]) * NBYTES
        os.pwrite(latest, json.dumps(block.ref(0, NBYTES)).encode().ljust(256), 0)
        if block.generation == 1:
            print("ready", flush=True)
        generations.append(block.generation)
        if len(generations) > 3:
            arena.free(generations.popleft())


main(*sys.argv[1:])
