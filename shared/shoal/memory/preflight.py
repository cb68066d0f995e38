"""Before a start: is there enough shared memory, and if not, what mends it."""

from __future__ import annotations

from pathlib import Path

from shoal.memory.filesystem import filesystem_nbytes, free_nbytes, size_text
from shoal.memory.host import SHM, host_id

#: What a server should find free without a limit of its own: docker gives 64 MiB, which one batch of images fills.
ADVISED_NBYTES = 512 * 2**20

_GIB = 2**30


def shortage(limit_nbytes: int | None, processes: int, folder: Path = SHM) -> str:
    """Why shared memory is too small for `processes` arenas of at most `limit_nbytes` each, and how to enlarge it, as
    lines for a person; empty when there is enough. `limit_nbytes` None: half of the file system each; 0: none."""
    if limit_nbytes == 0:
        return ""
    if not host_id(folder):
        return f"shared memory is not used, {folder} is no tmpfs that can be written: tensors travel in messages"
    needed = ADVISED_NBYTES if limit_nbytes is None else limit_nbytes * processes
    free = free_nbytes(folder)
    if free >= needed:
        return ""
    wanted = f"{processes} processes with --shm-limit={limit_nbytes} may use" if limit_nbytes else "advised are"
    gib = -(-max(needed + filesystem_nbytes(folder) - free, _GIB) // _GIB)
    return "\n".join(
        [
            f"shared memory is small: {folder} has {size_text(free)} of {size_text(filesystem_nbytes(folder))} free, "
            f"{wanted} {size_text(needed)}; requests are refused while it is full. To enlarge it:",
            f'  docker compose  shm_size: "{gib}gb" under the service',
            f"  docker run      --shm-size={gib}g",
            f"  elsewhere       mount -o remount,size={gib}g {folder}",
        ]
    )
