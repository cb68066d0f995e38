"""Waiting for what another thread brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Let the event loop turn until the condition is true; fails when it does not become true in time."""
    async with asyncio.timeout(within_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0)
