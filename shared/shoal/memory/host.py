"""Which processes can map each other's memory: a host is a folder of shared memory, and its id is a file's content."""

from __future__ import annotations

import os
import re
from pathlib import Path
from secrets import token_hex

SHM = Path("/dev/shm")

_ID = re.compile(rb"[0-9a-f]{16}")
#: A file that holds no id is removed and made anew; somebody else may do so at the same time.
_ATTEMPTS = 8


def host_id(folder: Path = SHM) -> str:
    """The id (16 hex characters) that all processes of this user share which see the same `folder`.

    Empty when the folder cannot be used as shared memory: it is not there, cannot be written, or its file system lacks
    unnamed files or `fallocate`. The id lies in a file `shoal-host-<uid>` of the folder, which stays for good.
    """
    try:
        if not os.access(folder, os.W_OK | os.X_OK):
            return ""
        path = folder / f"shoal-host-{os.getuid()}"
        for _ in range(_ATTEMPTS):
            found = _read(path) or _create(path)
            if found:
                return found
    except (OSError, ValueError):
        pass
    return ""


def link(descriptor: int, path: Path) -> None:
    """Give an unnamed file (`O_TMPFILE`) its name. Raises FileExistsError when the name is taken."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Only with a folder's descriptor does Python call linkat(), which follows the link in /proc.
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _read(path: Path) -> str:
    """The id in the file; empty when there is none. A file of ours without an id is removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    try:
        content = os.read(descriptor, 64)
        if os.fstat(descriptor).st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
    finally:
        os.close(descriptor)
    if _ID.fullmatch(content):
        return content.decode()
    path.unlink(missing_ok=True)
    return ""


def _create(path: Path) -> str:
    """A new id in a new file; empty when somebody else was faster."""
    made = token_hex(8)
    descriptor = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, len(made))
        os.write(descriptor, made.encode())
        link(descriptor, path)
    except FileExistsError:
        return ""
    finally:
        os.close(descriptor)
    return made
