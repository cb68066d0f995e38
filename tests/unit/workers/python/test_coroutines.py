from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from shoal.workers.python.coroutines import CoroutineRunner


@pytest.fixture
def runner() -> Iterator[CoroutineRunner]:
    made = CoroutineRunner()
    yield made
    made.close()


async def loop_id() -> int:
    await asyncio.sleep(0)
    return id(asyncio.get_running_loop())


def test_all_coroutines_run_on_one_loop(runner: CoroutineRunner) -> None:
    assert runner.run(loop_id()) == runner.run(loop_id())


def test_exceptions_pass_through(runner: CoroutineRunner) -> None:
    async def fail() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        runner.run(fail())


def test_closing_cancels_what_was_left_running(runner: CoroutineRunner) -> None:
    ended: list[str] = []
    left: list[asyncio.Task[None]] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def start() -> None:
        left.append(asyncio.create_task(linger()))
        await asyncio.sleep(0)

    runner.run(start())
    runner.close()
    assert ended == ["cancelled"]


def test_closing_without_a_run_does_nothing(runner: CoroutineRunner) -> None:
    runner.close()
