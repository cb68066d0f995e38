"""The file with the API keys, read at the start and again whenever it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from shoal.core.api_keys import ApiKeys
from shoal.core.errors import InvalidArgument
from shoal.runtime.api_keys import read_api_keys
from shoal.telemetry.logs import get_logger

LOOK_INTERVAL_S = 1.0

_log = get_logger("gateway")

#: What changes when a file does: its time, its size, and which file it is (editors and Kubernetes replace files).
_State = tuple[int, int, int]


class KeysFile:
    """Follows one file from `open` to `close`. A change that cannot be read is told once; the keys stay as they are."""

    def __init__(self, path: Path, on_change: Callable[[ApiKeys], None]) -> None:
        self._path = path
        self._on_change = on_change
        self._state = _state(path)
        self._following: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    async def look(self) -> None:
        """Read the file again if it has changed. In a thread: it may lie on a slow file system."""
        state = await asyncio.to_thread(_state, self._path)
        if state == self._state:
            return
        self._state = state
        try:
            keys = await asyncio.to_thread(read_api_keys, self._path)
        except InvalidArgument as error:
            _log.error("API keys not read again, the old ones stay valid", reason=error.message)
            return
        self._on_change(keys)
        _log.info("API keys read again", keys=len(keys.keys))

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            await self.look()


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
