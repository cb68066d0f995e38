from __future__ import annotations

import asyncio
import sys

import pytest

from shoal.workers.agent.output import LAST_LINES, LINE_LIMIT_BYTES, LastOutput


async def followed(data: bytes, limit: int = 2**16) -> LastOutput:
    stream = asyncio.StreamReader(limit=limit)
    stream.feed_data(data)
    stream.feed_eof()
    output = LastOutput()
    await output.follow(stream)
    return output


async def test_the_last_lines_are_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    output = await followed(b"".join(b"line %d\n" % n for n in range(100)))
    assert output.text().splitlines() == [f"line {n}" for n in range(100 - LAST_LINES, 100)]
    assert capsys.readouterr().err.count("line") == 100


async def test_a_last_line_without_an_end_counts() -> None:
    assert (await followed(b"one\ntwo")).text() == "one\ntwo"


async def test_a_line_longer_than_the_stream_takes_is_passed_on_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    output = await followed(b"x" * 10_000 + b"\n", limit=100)
    assert capsys.readouterr().err.replace("\n", "") == "x" * 10_000
    assert set(output.text()) <= {"x", "\n"}


async def test_a_remembered_line_is_bounded() -> None:
    assert len((await followed(b"x" * 50_000 + b"\n")).text()) == LINE_LIMIT_BYTES


async def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert (await followed(b"\xff\n")).text() == "�"


async def test_nobody_to_pass_it_on_to_does_not_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def write(self, text: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Broken())
    assert (await followed(b"one\ntwo\n")).text() == "one\ntwo"
