from __future__ import annotations

import asyncio

import pytest

from shoal.core.api_keys import ApiKey, Scope
from shoal.gateway.access.caller import Caller, current_caller, work_for
from shoal.gateway.access.errors import KeyExhausted

INFER = frozenset({Scope.INFER})


def test_models_are_seen_by_pattern() -> None:
    caller = Caller(ApiKey("k", b"", INFER, models=("ocr*", "asr")), now=0.0)
    assert [caller.sees(name) for name in ("ocr", "ocr_large", "asr", "asr2", "OCR")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_more_requests_at_once_than_allowed_are_refused_until_one_ends() -> None:
    caller = Caller(ApiKey("k", b"", INFER, concurrency=2), now=0.0)
    caller.enter(0.0)
    caller.enter(0.0)
    with pytest.raises(KeyExhausted, match="has 2 requests under way"):
        caller.enter(0.0)
    caller.leave()
    caller.enter(0.0)


def test_more_requests_per_second_than_allowed_are_told_when_to_come_again() -> None:
    caller = Caller(ApiKey("k", b"", INFER, requests_per_second=4, burst=1), now=0.0)
    caller.enter(0.0)
    caller.leave()
    with pytest.raises(KeyExhausted, match=r"may send 4 requests per second; try again in 0\.250 s") as caught:
        caller.enter(0.0)
    assert caught.value.retry_after_s == 0.25
    caller.enter(0.26)


def test_open_requests_outlive_a_change_of_their_key() -> None:
    before = Caller(ApiKey("k", b"", INFER, concurrency=1), now=0.0)
    before.enter(0.0)
    after = Caller(ApiKey("k", b"", INFER, models=("m",), concurrency=1), 0.0, before)
    with pytest.raises(KeyExhausted):
        after.enter(0.0)
    before.leave()
    after.enter(0.0)


async def test_tasks_work_for_the_caller_of_the_task_that_started_them() -> None:
    caller = Caller(ApiKey("k", b"", INFER), now=0.0)

    async def answer() -> Caller | None:
        work_for(caller)
        return await asyncio.create_task(started())

    async def started() -> Caller | None:
        return current_caller()

    assert await asyncio.create_task(answer()) is caller
    assert current_caller() is None
