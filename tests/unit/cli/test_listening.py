from __future__ import annotations

import asyncio

from shoal.bus import free_port
from shoal.cli.listening import until_listening

HOST = "127.0.0.1"


async def test_it_returns_when_every_address_takes_connections() -> None:
    first, second = free_port(), free_port()
    servers = [await asyncio.start_server(lambda _, writer: writer.close(), HOST, first)]
    waiting = asyncio.create_task(until_listening([(HOST, first), (HOST, second)]))
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done
    servers.append(await asyncio.start_server(lambda _, writer: writer.close(), HOST, second))
    await asyncio.wait_for(waiting, 5)
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_it_gives_up_after_its_time() -> None:
    await asyncio.wait_for(until_listening([(HOST, free_port())], wait_s=0.05), 5)
