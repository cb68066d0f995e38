"""Removes what dead owners left: a segment is locked by its owner for life, so a lock that can be taken tells."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from shoal.memory.host import SHM
from shoal.memory.segment_files import open_own, read_header, segments, try_lock

#: Answers that are under way may still refer to segments of an owner that has just died.
GRACE_S = 5.0


def sweep(
    folder: Path = SHM,
    grace_s: float = GRACE_S,
    *,
    server: str | None = None,
    clock: Callable[[], float] = time.time,
) -> list[str]:
    """Remove the segments of dead owners that were alive no later than `grace_s` ago; returns their names.

    With `server`, only those of owners that belonged to it. Never touches segments of living owners, files of other
    users, or files that are no segments; several processes may sweep at once.
    """
    removed = []
    living: set[str] = set()
    for path, owner in segments(folder):
        if owner not in living:
            outcome = _remove_if_dead(path, grace_s, server, clock)
            if outcome is None:
                living.add(owner)
            elif outcome:
                removed.append(path.name)
    return removed


def _remove_if_dead(path: Path, grace_s: float, server: str | None, clock: Callable[[], float]) -> bool | None:
    """True: removed; False: left where it is; None: left because its owner lives."""
    descriptor = open_own(path)
    if descriptor is None:
        return False
    try:
        header = read_header(descriptor)
        if header is None or (server is not None and header.server != server):
            return False
        if not try_lock(descriptor, fcntl.LOCK_EX):
            return None
        if 0 <= clock() - header.alive_at < grace_s or not _is_still(path, descriptor):
            return False
        path.unlink(missing_ok=True)
        return True
    except OSError:
        # Somebody else's doing, such as a file system that is being unmounted; another sweep will come.
        return False
    finally:
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the path names the file that was opened."""
    try:
        found, opened = path.lstat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)
