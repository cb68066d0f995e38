"""Whether the gateways' addresses take connections: a process beats on the bus before its server listens."""

from __future__ import annotations

import asyncio
import contextlib

_INTERVAL_S = 0.02
#: Who has not begun to listen by then will not be waited for; its own log says why.
WAIT_S = 30.0


async def until_listening(addresses: list[tuple[str, int]], wait_s: float = WAIT_S) -> None:
    """Return once every address, a host and a port, takes connections, or after `wait_s`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            for host, port in addresses:
                await _connect(host, port)


async def _connect(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(_INTERVAL_S)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return
