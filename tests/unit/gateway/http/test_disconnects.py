from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from shoal.gateway.http.disconnects import LOOK_INTERVAL_S, Disconnects


class Client:
    """The receiving side of one ASGI connection."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.asked = 0

    async def receive(self) -> MutableMapping[str, Any]:
        self.asked += 1
        await self.left.wait()
        return {"type": "http.disconnect"}


async def test_a_client_that_leaves_cancels_its_request() -> None:
    disconnects, client = Disconnects(), Client()

    async def request() -> bool:
        watch = disconnects.watch(client.receive)
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return watch.is_gone
        finally:
            disconnects.unwatch(watch)
        return False

    task = asyncio.create_task(request())
    await asyncio.sleep(3 * LOOK_INTERVAL_S)
    client.left.set()
    assert await asyncio.wait_for(task, 2)
    disconnects.close()


async def test_a_request_that_is_answered_soon_is_never_waited_for() -> None:
    disconnects, client = Disconnects(), Client()
    watch = disconnects.watch(client.receive)
    disconnects.unwatch(watch)
    await asyncio.sleep(2.5 * LOOK_INTERVAL_S)
    assert client.asked == 0
    disconnects.close()


async def test_a_cancellation_by_others_is_not_the_client_s() -> None:
    disconnects, client = Disconnects(), Client()

    async def request() -> None:
        watch = disconnects.watch(client.receive)
        try:
            await asyncio.sleep(10)
        finally:
            assert not watch.is_gone
            disconnects.unwatch(watch)

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    disconnects.close()
