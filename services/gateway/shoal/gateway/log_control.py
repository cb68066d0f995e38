"""The log settings that clients read and change: one set for the whole deployment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from shoal.core.stamped import LOG_SETTINGS_KEY
from shoal.telemetry import logs
from shoal.telemetry.log_settings import LogSettings


class SharedLogSettings(Protocol):
    """What this module needs of `SharedState`."""

    def watch(self, prefix: str, on_change: Callable[[str, bytes | None], None]) -> None: ...
    async def update(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bool: ...


class LogControl:
    """Keeps this process's log at the settings that all gateways share; every other process follows them by itself.

    To be made before the shared state is opened. `start` are the settings of this process's start, `log_file` the file
    that was named there.
    """

    def __init__(self, shared: SharedLogSettings, start: LogSettings, log_file: str) -> None:
        self._shared = shared
        self._start = start
        self._log_file = log_file
        self._current = start
        shared.watch(LOG_SETTINGS_KEY, self._on_change)

    def current(self) -> dict[str, Any]:
        """All six settings, in the HTTP protocol's JSON form."""
        form = self._current.format or "default"
        return {"log_file": self._log_file, **self._current.to_json(), "log_format": form}

    async def update(self, changes: Mapping[str, Any]) -> None:
        """Change settings, by Triton's keys, with values of the right types; those of None are left as they are.
        Returns when every live gateway logs so. Raises Unavailable as the shared state does."""
        new = {key: value for key, value in changes.items() if value is not None}
        if new:
            await self._shared.update(LOG_SETTINGS_KEY, lambda before: json.dumps(_loaded(before) | new).encode())

    def _on_change(self, key: str, value: bytes | None) -> None:
        self._current = self._start.updated(_loaded(value))
        logs.apply(self._current)


def _loaded(value: bytes | None) -> dict[str, Any]:
    settings: dict[str, Any] = {} if value is None else json.loads(value)
    return settings
