"""How large the shared memory of this host is, and sizes as people read them."""

from __future__ import annotations

import os
from pathlib import Path


def filesystem_nbytes(folder: Path) -> int:
    """The size of the file system that holds `folder`; of all memory where it has no limit of its own."""
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def free_nbytes(folder: Path) -> int:
    """What of it is free for this user; of all memory where it has no limit of its own."""
    found = os.statvfs(folder)
    if not found.f_blocks:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return found.f_bavail * found.f_frsize


def size_text(nbytes: int) -> str:
    """A size as people read it: `512 B`, `12.5 KiB`, `3 GiB`."""
    size = float(nbytes)
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while size >= 1023.95 and len(units) > 1:
        size /= 1024
        units.pop()
    return f"{size:.1f}".removesuffix(".0") + f" {units[-1]}"
