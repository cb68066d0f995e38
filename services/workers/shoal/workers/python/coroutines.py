"""Running `async def execute`: one event loop for as long as the instance lives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
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


class BackgroundRunner:
    """Runs coroutines on a thread of their own, all on one loop: those of a decoupled model, which answers whenever it
    likes and is given the next batch meanwhile."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread()
        self._running: set[Future[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, object], on_result: Callable[[object], None]) -> None:
        """Run this beside the others. `on_result` gets its result or its exception, on that thread, and must not
        raise."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="coroutines", daemon=True)
            self._thread.start()
        running = asyncio.run_coroutine_threadsafe(_report(coroutine, on_result), self._loop)
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    def close(self) -> None:
        """Cancel what still runs and stop the loop; one that a model blocks is left behind."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        ended = asyncio.run_coroutine_threadsafe(_cancel_tasks(), loop)
        wait([ended], timeout=2 * _CANCEL_LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(_CANCEL_LIMIT_S)
        if not self._thread.is_alive():
            loop.close()


async def _report(coroutine: Coroutine[Any, Any, object], on_result: Callable[[object], None]) -> None:
    try:
        result = await coroutine
    except BaseException as error:  # the model's code: whatever it raises is the answer of its requests
        result = error
    on_result(result)


async def _cancel_tasks() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_CANCEL_LIMIT_S)
