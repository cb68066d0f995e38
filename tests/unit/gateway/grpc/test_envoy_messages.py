"""Messages of a stream are read one by one, and what is read is never lost."""

from __future__ import annotations

import asyncio

import pytest

from shoal.gateway.grpc.convert import Received
from shoal.gateway.grpc.envoy_messages import IncomingMessages
from shoal.gateway.grpc.framing import Frame, frame
from shoal.gateway.grpc.open_calls import AsgiMessage
from shoal.gateway.grpc.status import ClientLeft
from shoal.gateway.scattered import joined


class Body:
    """Pieces of a request's body, given when they are there."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[AsgiMessage] = asyncio.Queue()
        self.asked = 0

    def put(self, piece: bytes, more_body: bool = True) -> None:
        self.events.put_nowait({"type": "http.request", "body": piece, "more_body": more_body})

    async def receive(self) -> AsgiMessage:
        self.asked += 1
        return await self.events.get()


async def plain(received: Frame) -> Received:
    return received.message


async def read(messages: IncomingMessages) -> bytes:
    return bytes(joined(await anext(messages)))


async def test_nothing_is_received_that_is_not_asked_for() -> None:
    body = Body()
    body.put(frame((b"a",)) + frame((b"b",)))
    body.put(frame((b"c",)), more_body=False)
    messages = IncomingMessages(body.receive, plain)
    assert [await read(messages), await read(messages)] == [b"a", b"b"]
    assert body.asked == 1
    assert await read(messages) == b"c"
    with pytest.raises(StopAsyncIteration):
        await anext(messages)


async def test_it_listens_while_a_piece_is_awaited() -> None:
    body = Body()
    messages = IncomingMessages(body.receive, plain)
    assert not messages.is_listening
    reading = asyncio.ensure_future(read(messages))
    await asyncio.sleep(0)
    assert messages.is_listening
    body.put(frame((b"a",)))
    assert await reading == b"a" and not messages.is_listening


async def test_a_client_that_leaves_ends_the_iteration() -> None:
    body = Body()
    body.events.put_nowait({"type": "http.disconnect"})
    with pytest.raises(ClientLeft):
        await anext(IncomingMessages(body.receive, plain))


async def test_receiving_is_not_cancelled_with_its_reader() -> None:
    answer: asyncio.Future[AsgiMessage] = asyncio.get_running_loop().create_future()
    messages = IncomingMessages(lambda: answer, plain)
    reading = asyncio.ensure_future(read(messages))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait({reading})
    assert reading.cancelled() and not answer.cancelled()
