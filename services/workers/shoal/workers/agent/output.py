"""The last lines that a child wrote on standard error, for the reason of its end."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque

LAST_LINES = 20
LINE_LIMIT_BYTES = 2000


class LastOutput:
    """Passes a child's standard error on to ours, and remembers its end."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=LAST_LINES)

    def text(self) -> str:
        """The last lines, oldest first; characters that are no UTF-8 replaced."""
        return "\n".join(line.decode(errors="replace") for line in self._lines)

    def add(self, line: bytes) -> None:
        self._lines.append(line.rstrip(b"\r\n")[:LINE_LIMIT_BYTES])

    async def follow(self, stream: asyncio.StreamReader) -> None:
        """Read until the end of the stream."""
        while True:
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.LimitOverrunError as overrun:
                line = await stream.read(overrun.consumed or 1)
            except asyncio.IncompleteReadError as end:
                self._take(end.partial)
                return
            self._take(line)

    def _take(self, line: bytes) -> None:
        if line:
            self.add(line)
            # With nobody to read ours the child must still not be stopped by a full pipe.
            with contextlib.suppress(OSError):
                sys.stderr.write(line.decode(errors="replace"))
