"""The trace settings that clients read and change: global ones, and those of models over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from shoal.telemetry.trace_settings import Changes, TraceSettings, merged

#: Key of the global changes in the shared state; a model's are below it.
_KEY = "settings/trace"


class SharedTraceSettings(Protocol):
    """What this module needs of `SharedState`."""

    def get(self, key: str) -> bytes | None: ...
    async def update(self, key: str, change: Callable[[bytes | None], bytes | None]) -> bool: ...


class TraceControl:
    """Reads and writes the changes that all gateways share, over the settings of this process's `start`."""

    def __init__(self, shared: SharedTraceSettings, start: TraceSettings) -> None:
        self._shared = shared
        self._start = start

    def current(self, model: str | None) -> TraceSettings:
        """The settings that hold for a model, or the global ones for None."""
        settings = self._start.updated(_loaded(self._shared.get(_KEY)))
        return settings if model is None else settings.updated(_loaded(self._shared.get(_key(model))))

    async def update(self, model: str | None, changes: Changes) -> None:
        """Change a model's settings, or the global ones for None; a value of None takes a change back. Returns when
        every live gateway has them.

        Raises InvalidArgument when tracing would be on and impossible, Unavailable as the shared state does.
        """
        below = self._start if model is None else self.current(None)

        def change(value: bytes | None) -> bytes | None:
            before = _loaded(value)
            after = merged(before, changes)
            if after == before:
                return None
            below.updated(after).check()
            return json.dumps(after).encode()

        await self._shared.update(_key(model), change)


def _key(model: str | None) -> str:
    return _KEY if model is None else f"{_KEY}/{model}"


def _loaded(value: bytes | None) -> dict[str, Any]:
    changes: dict[str, Any] = {} if value is None else json.loads(value)
    return changes
