"""What each instance of an executor is doing, readable by the agent even after the executor was killed.

The board is an unnamed file in memory that the agent creates and the executor inherits: for each slot two counters,
executions started and executions that came back, and what is executed since when. One write per change costs a
microsecond and wakes nobody; a pipe message would wake the agent for every batch.
"""

from __future__ import annotations

import os
import struct
import time
from typing import NamedTuple

_ROW = struct.Struct("<QQQQQ")
_RETURNED = struct.Struct("<Q")
_RETURNED_AT = 8


class Row(NamedTuple):
    """Executions of one slot. `returned` counts executions that ended with an error of the model too. `epoch` and
    `batch_id` name the last batch that was started, `since_ns` is when (`time.monotonic_ns()`, one clock per host)."""

    started: int
    returned: int
    epoch: int
    batch_id: int
    since_ns: int

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

    def start(self, epoch: int, batch_id: int) -> None:
        returned, self._started = self._started, self._started + 1
        row = _ROW.pack(self._started, returned, epoch, batch_id, time.monotonic_ns())
        os.pwrite(self._fd, row, self._offset)

    def returned(self) -> None:
        os.pwrite(self._fd, _RETURNED.pack(self._started), self._offset + _RETURNED_AT)
