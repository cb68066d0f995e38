"""Folders for segments of shared memory, and what a process holds of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.memory import SHM


@contextmanager
def segment_folder() -> Iterator[Path]:
    """A folder of its own on a tmpfs; removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="shoal-test-", dir=SHM))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def names(folder: Path) -> list[str]:
    """The segments in the folder; the file with the host's id is none."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("shoal-host-"))


def descriptors(folder: Path) -> list[str]:
    """What our own descriptors name in the folder."""
    found = []
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if target.startswith(f"{folder}/"):
            found.append(target)
    return found


def mappings(folder: Path) -> list[str]:
    """Our own mappings of files in the folder."""
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if f" {folder}/" in line]
