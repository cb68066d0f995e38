"""Deadlines, clients that leave, and the wait for the last call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from shoal.gateway.grpc import open_calls
from shoal.gateway.grpc.open_calls import EndedEarly, OpenCalls


class Client:
    """Somebody of whom one can find out whether he has left."""

    def __init__(self) -> None:
        self.is_there = True
        self.questions = 0

    async def has_left(self) -> bool:
        self.questions += 1
        return not self.is_there


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(open_calls, "ASK_EVERY_S", 0.01)
    yield


async def hold(calls: OpenCalls, client: Client, deadline_s: float | None = None) -> EndedEarly | None:
    """A call that would last five seconds."""
    call = calls.open(client.has_left, deadline_s)
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        return call.ended_early
    finally:
        calls.close(call)
    return None


async def test_a_call_ends_when_its_client_has_left() -> None:
    calls, client = OpenCalls(), Client()
    holding = asyncio.create_task(hold(calls, client))
    await asyncio.sleep(0.05)
    assert not holding.done()
    client.is_there = False
    assert await asyncio.wait_for(holding, 1) is EndedEarly.CLIENT_LEFT
    assert len(calls) == 0


async def test_a_call_ends_at_its_deadline() -> None:
    begin_s = time.monotonic()
    assert await hold(OpenCalls(), Client(), begin_s + 0.05) is EndedEarly.DEADLINE
    assert 0.04 < time.monotonic() - begin_s < 1


async def test_a_deadline_in_the_past_ends_the_call_at_once() -> None:
    assert await hold(OpenCalls(), Client(), time.monotonic() - 1) is EndedEarly.DEADLINE


async def test_the_task_goes_on_undisturbed_after_its_call() -> None:
    await hold(OpenCalls(), Client(), time.monotonic() - 1)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_fast_calls_are_never_asked_about() -> None:
    calls, client = OpenCalls(), Client()
    calls.close(calls.open(client.has_left, time.monotonic() + 60))
    await asyncio.sleep(0.05)
    assert client.questions == 0


async def test_questions_per_round_are_bounded_and_reach_everyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_calls, "_QUESTIONS_PER_ROUND", 2)
    calls, clients = OpenCalls(), [Client() for _ in range(6)]
    tasks = [asyncio.create_task(hold(calls, client)) for client in clients]
    await asyncio.sleep(0.2)
    asked = [client.questions for client in clients]
    assert min(asked) > 0 and max(asked) - min(asked) <= 1
    for task in tasks:
        task.cancel()
    assert await asyncio.gather(*tasks) == [None] * 6


async def test_nothing_runs_while_no_call_is_open() -> None:
    calls, client = OpenCalls(), Client()
    call = calls.open(client.has_left, None)
    await asyncio.sleep(0.05)
    calls.close(call)
    await asyncio.sleep(0.05)
    questions = client.questions
    await asyncio.sleep(0.05)
    assert client.questions == questions


async def test_an_answer_after_the_end_of_its_call_is_ignored() -> None:
    calls, answer = OpenCalls(), asyncio.Event()

    async def has_left() -> bool:
        await answer.wait()
        return True

    call = calls.open(has_left, None)
    await asyncio.sleep(0.05)
    calls.close(call)
    answer.set()
    await asyncio.sleep(0.05)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_draining_waits_for_the_last_call() -> None:
    calls = OpenCalls()
    holding = asyncio.create_task(hold(calls, Client(), time.monotonic() + 0.2))
    await asyncio.sleep(0)
    begin_s = time.monotonic()
    assert await calls.drained(5)
    assert holding.done() and 0.15 < time.monotonic() - begin_s < 2


async def test_draining_gives_up_at_its_limit() -> None:
    calls = OpenCalls()
    holding = asyncio.create_task(hold(calls, Client()))
    await asyncio.sleep(0)
    assert not await calls.drained(0.05)
    holding.cancel()
    await holding
