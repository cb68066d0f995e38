"""Shared-memory objects of clients, as tests make them: files in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from shoal.memory import SHM


class ClientFile:
    """A file that a client registers as `key`. Whoever made it removes it."""

    def __init__(self, name: str, content: bytes, folder: Path = SHM) -> None:
        self.key = f"/{name}"
        self.path = folder / name
        self.path.write_bytes(content)

    def read(self, offset: int = 0, nbytes: int | None = None) -> bytes:
        content = self.path.read_bytes()[offset:]
        return content if nbytes is None else content[:nbytes]

    def shrink(self, nbytes: int) -> None:
        os.truncate(self.path, nbytes)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def descriptors_of(path: Path) -> int:
    """How many descriptors of this process are open for the file, also when its name is gone."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        count += target.removesuffix(" (deleted)") == str(path)
    return count
