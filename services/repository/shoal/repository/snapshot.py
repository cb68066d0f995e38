"""A model's directory as it was at one moment: what is in it, which configuration file counts, how to name it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from shoal.core.errors import InternalError

#: Written by the interpreter whenever a python model is imported: no part of the model.
_IGNORED = frozenset({"__pycache__"})

CONFIG_FILE = "config.pbtxt"
CONFIG_FOLDER = "configs"


class Item(NamedTuple):
    """A file or folder below a model's directory; `size` and `mtime_ns` are 0 for folders."""

    path: str
    is_folder: bool
    size: int
    mtime_ns: int


class Snapshot(NamedTuple):
    """`items` are sorted by path (relative, with `/`)."""

    directory: str
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        return Path(self.directory).name

    def folders(self) -> tuple[str, ...]:
        """Names of the folders directly below the model's directory, in lexical order."""
        return tuple(item.path for item in self.items if item.is_folder and "/" not in item.path)

    def has_file(self, path: str) -> bool:
        return any(item.path == path and not item.is_folder for item in self.items)

    def has(self, path: str) -> bool:
        """Whether there is a file or folder at this path."""
        return any(item.path == path for item in self.items)


def take(directory: str) -> Snapshot:
    """Read the directory's contents (not the files). Blocks; raises InternalError when it cannot be read."""
    try:
        return Snapshot(directory, tuple(sorted(_walk(directory, "", frozenset()))))
    except OSError as error:
        raise InternalError(f"unable to read model directory '{directory}': {error.strerror}") from error


def quiet_in_ns(snapshot: Snapshot, now_ns: int, quiet_ns: int) -> int:
    """Nanoseconds until the newest file has been left alone for `quiet_ns`; 0 when it has been.

    A time stamp from the future says nothing about writers, so it does not count.
    """
    past = [item.mtime_ns for item in snapshot.items if item.mtime_ns <= now_ns]
    return max(0, max(past, default=0) + quiet_ns - now_ns)


def config_path(snapshot: Snapshot, config_name: str) -> str | None:
    """The configuration file that counts: `configs/<config_name>.pbtxt` when it is there, else `config.pbtxt`; None
    without either."""
    custom = f"{CONFIG_FOLDER}/{config_name}.pbtxt"
    if config_name and snapshot.has_file(custom):
        return custom
    return CONFIG_FILE if snapshot.has_file(CONFIG_FILE) else None


def generation(snapshot: Snapshot, config: dict[str, Any], backend_config: dict[str, str], is_completed: bool) -> str:
    """The name of what these contents make of the model: 16 hex digits, the same for the same contents."""
    known = [snapshot.items, config, backend_config, is_completed]
    text = json.dumps(known, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _walk(directory: str, prefix: str, ancestors: frozenset[tuple[int, int]]) -> Iterator[Item]:
    stat = os.stat(directory)
    identity = (stat.st_dev, stat.st_ino)
    if identity in ancestors:  # a link that leads back up
        return
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name not in _IGNORED:
                yield from _item(entry, prefix + entry.name, ancestors | {identity})


def _item(entry: os.DirEntry[str], path: str, ancestors: frozenset[tuple[int, int]]) -> Iterator[Item]:
    """The file or folder with what is in it; nothing for what has just been removed or a link that leads nowhere."""
    try:
        if entry.is_dir():
            inside = list(_walk(entry.path, f"{path}/", ancestors))
            yield Item(path, True, 0, 0)
            yield from inside
        elif entry.is_file():
            stat = entry.stat()
            yield Item(path, False, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
