"""The last sweep of a server: nothing of its processes stays in shared memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shoal.memory import SHM
from shoal.memory.inspection import inspect
from shoal.memory.sweep import sweep

#: A killed process keeps its locks until the kernel has taken it apart, with all the memory it had.
_WITHIN_S = 5.0
_LOOK_INTERVAL_S = 0.05


async def remove_segments(server: str, folder: Path = SHM, within_s: float = _WITHIN_S) -> None:
    """Remove the segments of all owners that belong to `server`, to be called when these have ended or were killed;
    waits for those that are still dying."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while True:
        sweep(folder, 0.0, server=server)
        if loop.time() >= deadline or not any(found.header.server == server for found in inspect(folder)):
            return
        await asyncio.sleep(_LOOK_INTERVAL_S)
