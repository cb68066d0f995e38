from __future__ import annotations

import asyncio

import pytest

from http_wire import HttpAnswer, Malformed, read_answer


async def read(came: bytes, has_no_body: bool = False) -> HttpAnswer | None:
    reader = asyncio.StreamReader()
    reader.feed_data(came)
    reader.feed_eof()
    return await read_answer(reader, has_no_body)


async def test_answers_are_read_with_a_length_in_chunks_and_to_the_end() -> None:
    for head, body in (
        (b"content-length: 3\r\n\r\n", b"abc"),
        (b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
        (b"connection: close\r\n\r\n", b"abc"),
    ):
        answer = await read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + head + body)
        assert answer is not None and (answer.status, answer.body) == (200, b"abc")


async def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    answer = await read(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", has_no_body=True)
    assert answer is not None and answer.body == b""


async def test_no_answer_is_none() -> None:
    assert await read(b"") is None


@pytest.mark.parametrize(
    "came",
    [
        b"HTTP/1.1 200",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_told(came: bytes) -> None:
    with pytest.raises(Malformed):
        await read(came)
