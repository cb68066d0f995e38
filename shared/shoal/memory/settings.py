"""How a process is told about shared memory by its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shoal.core.errors import InvalidArgument, Unavailable
from shoal.memory.arena import Arena
from shoal.memory.host import SHM
from shoal.telemetry.logs import get_logger

#: Bytes that the arena of one process may take; 0: no shared memory; unset: half of the file system.
SHM_LIMIT = "SHOAL_SHM_LIMIT"
#: The `shoal serve` that a process belongs to, which removes what is left of its arena at the end.
SHM_SERVER = "SHOAL_SHM_SERVER"

_log = get_logger("memory")


def open_arena(owner: str, environ: Mapping[str, str], folder: Path = SHM) -> Arena | None:
    """The arena of a process, whose incarnation is `owner`, as its environment says: None when it is to have none, and,
    with a warning in the log, when `folder` cannot be used. Raises InvalidArgument for a limit that is no number."""
    limit_nbytes = limit_from(environ)
    if limit_nbytes == 0:
        return None
    try:
        return Arena.open(owner, limit_nbytes, folder, server=environ.get(SHM_SERVER, ""))
    except (Unavailable, OSError) as error:
        _log.warning("shared memory not used", reason=str(error), tensors="travel in messages")
        return None


def limit_from(environ: Mapping[str, str]) -> int | None:
    """The limit of each arena in bytes; None: half of the file system. Raises InvalidArgument for anything else."""
    text = environ.get(SHM_LIMIT, "")
    if text and not text.isdecimal():
        raise InvalidArgument(f"{SHM_LIMIT} is '{text}', expected a number of bytes (0: no shared memory)")
    return int(text) if text else None
