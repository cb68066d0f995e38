"""`python churn.py FOLDER SECONDS`: opens arenas, allocates, tends, sweeps and closes as fast as it can; ends with an
error when a segment that it owns is not there."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from secrets import token_hex

from shoal.memory import Arena
from shoal.memory.sweep import sweep


def main(folder: str, seconds: str) -> None:
    deadline = time.monotonic() + float(seconds)
    while time.monotonic() < deadline:
        arena = Arena.open(f"churn-{token_hex(6)}", 2**24, Path(folder))
        names = [arena.allocate(nbytes, "x").ref(0, 1).segment for nbytes in (8192, 100_000, 700_000)]
        sweep(Path(folder), 0.0)
        arena.tend()
        missing = [name for name in names if not os.path.exists(f"{folder}/{name}")]
        assert not missing, missing
        arena.close()


main(*sys.argv[1:])
