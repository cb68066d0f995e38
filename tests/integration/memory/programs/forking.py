"""`python forking.py FOLDER`: an owner whose user code forks. The child uses all that a child may do to the arena, says
its process id, and lives on; the parent waits until its standard input ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from shoal.core.errors import Unavailable
from shoal.memory import Arena


def main(folder: str) -> None:
    arena = Arena.open("forking-1", 2**24, Path(folder))
    block = arena.allocate(100_000, "x")
    block.memory[:] = b"p" * 100_000
    if os.fork() == 0:
        _live_as_child(arena, block.generation)
    sys.stdin.read()
    arena.close()


def _live_as_child(arena: Arena, generation: int) -> None:
    arena.free(generation)
    arena.tend()
    arena.close()
    try:
        arena.allocate(8192, "x")
    except Unavailable:
        print(os.getpid(), flush=True)
    time.sleep(60)
    os._exit(0)


main(*sys.argv[1:])
