"""What the kernel tells about a process: its state and its memory, from descriptors that are kept open."""

from __future__ import annotations

import os

_PAGE_NBYTES = os.sysconf("SC_PAGE_SIZE")
#: Longer than any /proc/PID/stat up to the state, and than any statm.
_READ_NBYTES = 256


class ProcessFiles:
    """A child's files in /proc. The process is pinned by the descriptors: they never tell of another one that got its
    number. Not being able to open them (too many open files) makes the answers unknown; the next call tries again."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptors: dict[str, int] = {}

    def state(self) -> str:
        """A letter as in /proc/PID/stat: R, S, D, T (stopped by a signal), t (by a tracer), Z; empty when unknown."""
        text = self._read("stat")
        # The name before it is in parentheses, and may hold any character.
        return text[text.rindex(")") + 2] if text else ""

    def own_nbytes(self) -> int:
        """Bytes in memory that are the process's own: neither files that it maps nor shared memory. 0 when unknown."""
        text = self._read("statm")
        if not text:
            return 0
        _, resident, shared, *_ = text.split()
        return (int(resident) - int(shared)) * _PAGE_NBYTES

    def close(self) -> None:
        """Idempotent."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def _read(self, name: str) -> str:
        try:
            if name not in self._descriptors:
                self._descriptors[name] = os.open(f"/proc/{self._pid}/{name}", os.O_RDONLY)
            return os.pread(self._descriptors[name], _READ_NBYTES, 0).decode(errors="replace")
        except OSError:
            return ""
