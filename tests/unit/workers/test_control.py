from __future__ import annotations

import asyncio

import pytest

from shoal.core.errors import InternalError
from shoal.workers.control import (
    FRAME_LIMIT_BYTES,
    ControlMessage,
    Hello,
    Load,
    Loaded,
    LoadFailed,
    Ping,
    Pong,
    Stop,
    Unload,
    Unloaded,
    decode,
    encode,
    read,
)

LOAD = Load(1, "m", 2, "g1", "/m", {"name": "m", "input": [{"dims": [-1, 2**40]}]}, {"k": "v"}, "m_0", "CPU", 0)
ALL: list[ControlMessage] = [
    LOAD,
    Unload(1),
    Stop(),
    Ping(),
    Hello("executor-1"),
    Loaded(1),
    LoadFailed(1, 3, "no"),
    Unloaded(1),
    Pong(),
]


@pytest.mark.parametrize("message", ALL)
async def test_every_message_arrives_as_it_was_sent(message: ControlMessage) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(encode(message))
    assert await read(reader) == message


async def test_messages_are_read_one_by_one() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(map(encode, ALL)))
    assert [await read(reader) for _ in ALL] == ALL


async def test_the_end_of_the_pipe_is_the_end_even_within_a_message() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(encode(LOAD)[:-1])
    reader.feed_eof()
    assert await read(reader) is None


async def test_an_absurd_length_is_refused() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data((FRAME_LIMIT_BYTES + 1).to_bytes(4, "little"))
    with pytest.raises(InternalError, match="control frame of"):
        await read(reader)


def test_a_message_of_another_release_is_refused() -> None:
    with pytest.raises(InternalError, match="unknown kind 99"):
        decode(b"\x91\x63")
