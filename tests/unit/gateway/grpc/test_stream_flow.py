"""Bounds, order and pace of one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from shoal.gateway.grpc import stream_flow
from shoal.gateway.grpc.stream_flow import Outbox, Turn, Window


async def waits(awaitable: Awaitable[object]) -> bool:
    """Whether this is not over after a few turns of the event loop."""
    task = asyncio.ensure_future(awaitable)
    for _ in range(3):
        await asyncio.sleep(0)
    is_waiting = not task.done()
    task.cancel()
    return is_waiting


async def test_a_window_has_room_until_so_many_requests_are_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_flow, "_MAX_REQUESTS", 2)
    window = Window()
    window.enter(1)
    assert not await waits(window.room())
    window.enter(1)
    assert await waits(window.room())
    window.leave(1)
    assert not await waits(window.room())


async def test_a_window_counts_bytes_of_requests_and_of_waiting_responses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_flow, "_MAX_NBYTES", 100)
    window = Window()
    window.enter(60)
    window.hold(40)
    assert await waits(window.room())
    window.let_go(40)
    assert not await waits(window.room())


async def test_one_message_may_be_larger_than_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_flow, "_MAX_NBYTES", 100)
    window = Window()
    assert not await waits(window.room())
    window.enter(1000)
    assert await waits(window.room())


async def test_turns_come_in_the_order_in_which_they_were_taken() -> None:
    first = Turn(None)
    second = first.after()
    third = second.after()
    second.end()
    assert await waits(second.comes())
    assert not await waits(third.comes())
    first.end()
    assert not await waits(second.comes())


async def test_responses_are_taken_together_and_in_order() -> None:
    outbox = Outbox()
    await outbox.put([b"a"])
    await outbox.put([b"b", b"c"])
    assert await outbox.take() == [[b"a"], [b"b", b"c"]]
    assert await waits(outbox.take())


@pytest.mark.parametrize(("name", "limit"), [("_MAX_WAITING", 2), ("_MAX_WAITING_NBYTES", 6)])
async def test_whoever_puts_too_much_waits_for_the_writer(
    monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(stream_flow, name, limit)
    outbox = Outbox()
    await outbox.put([b"abc"])
    putting = asyncio.create_task(outbox.put([b"def"]))
    await asyncio.sleep(0)
    assert not putting.done()
    assert await outbox.take() == [[b"abc"], [b"def"]]
    await putting


async def test_what_was_put_before_the_end_is_taken_before_it() -> None:
    outbox = Outbox()
    await outbox.put([b"a"])
    outbox.end()
    await outbox.put([b"too late"])
    assert await outbox.take() == [[b"a"]]
    assert await outbox.take() == []


async def test_a_failure_comes_after_what_was_put_before_it_and_the_first_one_counts() -> None:
    outbox = Outbox()
    await outbox.put([b"a"])
    outbox.end(ValueError("first"))
    outbox.end(ValueError("second"))
    assert await outbox.take() == [[b"a"]]
    with pytest.raises(ValueError, match="first"):
        await outbox.take()
