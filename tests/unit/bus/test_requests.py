from __future__ import annotations

import pytest

from shoal.bus.requests import NoResponders, Reply, RequestFailed, Requests


async def test_answer_of_one_message() -> None:
    requests = Requests()
    token, future = requests.open(lambda _: True)
    requests.answer(token, b"data", b"NATS/1.0\r\nNats-Sequence: 4\r\nOther:x\r\n\r\n")
    assert await future == [Reply(b"data", "", {"Nats-Sequence": "4", "Other": "x"})]


async def test_answer_of_several_messages_ends_with_the_last() -> None:
    requests = Requests()
    token, future = requests.open(lambda reply: reply.status == "204")
    requests.answer(token, b"one", b"")
    requests.answer(token, b"", b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n")
    requests.answer(token, b"late", b"")
    assert [reply.data for reply in await future] == [b"one", b""]


async def test_missing_responder_fails_at_once() -> None:
    requests = Requests()
    token, future = requests.open(lambda _: True)
    requests.answer(token, b"", b"NATS/1.0 503\r\n\r\n")
    with pytest.raises(NoResponders):
        await future


async def test_lost_link_fails_every_open_question() -> None:
    requests = Requests()
    futures = [requests.open(lambda _: True)[1] for _ in range(2)]
    requests.fail_all("the broker link was lost")
    for future in futures:
        with pytest.raises(RequestFailed, match="lost"):
            await future


async def test_answers_to_closed_and_unknown_questions_are_dropped() -> None:
    requests = Requests()
    token, future = requests.open(lambda _: True)
    requests.close(token)
    requests.answer(token, b"late", b"")
    requests.answer("unknown", b"", b"")
    requests.fail_all("lost")
    assert not future.done()
