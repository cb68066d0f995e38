from __future__ import annotations

import asyncio

from shoal.gateway.answer_stream import AnswerStream
from shoal.gateway.request import StreamedAnswer

MORE, LAST = StreamedAnswer(None, None, False), StreamedAnswer(None, None, True)


async def test_responses_wait_for_the_consumer_who_is_told_apart_by_what_it_takes() -> None:
    taken: list[int] = []
    stream = AnswerStream(taken.append, lambda: None)
    stream.add(MORE)
    stream.add(LAST)
    assert taken == []
    assert await stream.next() is MORE
    assert taken == [0]
    assert await stream.next() is LAST
    assert taken == [0, 1]


async def test_the_consumer_waits_for_the_next_response() -> None:
    stream = AnswerStream(lambda index: None, lambda: None)
    waiting = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.add(MORE)
    stream.add(LAST)
    assert await waiting is MORE
    assert await stream.next() is LAST


async def test_a_consumer_that_gives_up_waiting_loses_nothing() -> None:
    stream = AnswerStream(lambda index: None, lambda: None)
    waiting = asyncio.create_task(stream.next())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    stream.add(LAST)
    assert await stream.next() is LAST
