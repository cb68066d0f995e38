"""From a signal to the end of a process: the first asks it to drain, the second ends it at once."""

from __future__ import annotations

import asyncio
import os
import signal


class Lifecycle:
    """Tells the process's main coroutine when to drain. `stopping` is set by the first SIGTERM or SIGINT, and may be
    set by the process itself; the second signal ends the process with code 1 and without any clean-up."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take over SIGTERM and SIGINT of this process. To be called from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self.stopping.is_set():
            os._exit(1)
        self.stopping.set()
