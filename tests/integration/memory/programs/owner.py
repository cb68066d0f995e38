"""An owner of an arena: `python owner.py FOLDER OWNER NBYTES...` allocates blocks of these sizes, each full of its
generation's last byte, prints their references as JSON, and waits until its standard input ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from shoal.memory import Arena


def main(folder: str, owner: str, *sizes: str) -> None:
    arena = Arena.open(owner, 2**30, Path(folder), server="test-server")
    refs = []
    for nbytes in map(int, sizes):
        block = arena.allocate(nbytes, "holder")
        block.memory[:] = bytes([block.generation % 256]) * nbytes
        refs.append(block.ref(0, nbytes))
    print(json.dumps(refs), flush=True)
    sys.stdin.read()
    arena.close()


main(*sys.argv[1:])
