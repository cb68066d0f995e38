"""What each instance of an executor is doing, readable by the agent even after the executor was killed.

The board is an unnamed file in memory that the agent creates and the executor inherits: for each slot two counters,
executions started and executions that came back. One write of 16 bytes per change costs a microsecond and wakes nobody;
a pipe message would wake the agent for every batch.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

_ROW = struct.Struct("<QQ")


class Row(NamedTuple):
    """Executions of one slot. `returned` counts executions that ended with an error of the model too."""

    started: int
    returned: int

    @property
    def is_executing(self) -> bool:
        return self.started != self.returned


def create() -> int:
    """The descriptor of an empty board, owned by the caller; not inherited unless passed on explicitly."""
    return os.memfd_create("shoal-board")


def read(fd: int) -> dict[int, Row]:
    """The rows of every slot that has executed so far."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    rows = (Row(*fields) for fields in _ROW.iter_unpack(data[: len(data) - len(data) % _ROW.size]))
    return {slot: row for slot, row in enumerate(rows) if row.started}


class SlotBoard:
    """The executor's pen for one slot; used by the slot's thread alone."""

    def __init__(self, fd: int, slot: int) -> None:
        self._fd = fd
        self._offset = slot * _ROW.size
        self._started = 0
        self._returned = 0

    def start(self) -> None:
        self._started += 1
        self._write()

    def returned(self) -> None:
        self._returned = self._started
        self._write()

    def _write(self) -> None:
        os.pwrite(self._fd, _ROW.pack(self._started, self._returned), self._offset)
