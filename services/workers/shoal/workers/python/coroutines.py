"""Running `async def execute`: one event loop for as long as the instance lives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

#: How long tasks that a model left behind may take to end when the instance is unloaded.
_CANCEL_LIMIT_S = 5.0


class CoroutineRunner:
    """Runs coroutines on the calling thread, all on one loop, so that a model's connections and locks stay usable.

    The loop stands still between two runs: a task that outlives `execute` goes on during the next one.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """The coroutine's result; its exceptions pass through."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)

    def close(self) -> None:
        """Cancel what still runs and close the loop."""
        if self._loop is None:
            return
        try:
            self._loop.run_until_complete(_cancel_tasks())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            self._loop = None


async def _cancel_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_CANCEL_LIMIT_S)
