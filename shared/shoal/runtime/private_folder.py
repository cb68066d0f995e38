"""A temporary folder for one run, private to its user, that disappears with its owner.

The owner holds a lock on a file inside for life, so a lock that can be taken means a dead owner: `sweep` then removes
the folder. That covers owners that were killed and could not clean up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType

PREFIX = "shoal-serve-"

_LOCK = "lock"
#: A folder without a lock file is being made right now, unless it is older than this.
_NASCENT_S = 60.0


class PrivateFolder:
    """Context manager: makes the folder (mode 0700) below `parent`, gives its path, removes it at the end."""

    def __init__(self, parent: Path | None = None, survives_exec: bool = False) -> None:
        """`parent` defaults to the system's temporary folder; with `survives_exec` the program that takes this
        process's place goes on owning the folder."""
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        # Not inherited by children, so that the lock says whether this very process lives.
        self._descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.set_inheritable(self._descriptor, survives_exec)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def sweep(parent: Path | None = None) -> list[Path]:
    """Remove the folders of dead owners of this user below `parent`; returns what was removed.

    Call it at start. Folders of other users and of living owners are left alone, also when several sweep at once.
    """
    removed = []
    for folder in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        if _is_orphan(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _is_orphan(folder: Path) -> bool:
    try:
        status = folder.lstat()
        if status.st_uid != os.getuid() or not folder.is_dir() or folder.is_symlink():
            return False
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return folder.exists() and time.time() - status.st_mtime > _NASCENT_S
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
