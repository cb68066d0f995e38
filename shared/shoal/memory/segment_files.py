"""The segment files in a folder, as somebody sees them who does not own them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from shoal.memory.layout import TABLE_OFFSET, Header, decode_header, owner_of


def segments(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files with the name of a segment, and the owner in that name; nothing when the folder cannot be read."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        owner = owner_of(name)
        if owner is not None:
            yield folder / name, owner


def open_own(path: Path) -> int | None:
    """A read-only descriptor of a file of this user; None for anything else, and when it is not there any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if os.fstat(descriptor).st_uid == os.getuid():
        return descriptor
    os.close(descriptor)
    return None


def read_header(descriptor: int) -> Header | None:
    """The header; None for a file that is no segment."""
    return decode_header(os.pread(descriptor, TABLE_OFFSET, 0), os.fstat(descriptor).st_size)


def try_lock(descriptor: int, kind: int = fcntl.LOCK_SH) -> bool:
    """Whether the lock of a segment could be taken, which means that its owner is dead; held until it is closed."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
