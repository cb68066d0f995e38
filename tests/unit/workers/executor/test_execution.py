from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from idle_backend import IdleBackend
from requests_to_execute import infer_request, items_of, tensor
from shoal.core.errors import InternalError, InvalidArgument, Unavailable
from shoal.workers import board
from shoal.workers.backend import Execution, Request, Response
from shoal.workers.executor.execution import Outcome, Running, execute
from shoal.workers.executor.item import Item


class Scripted(IdleBackend):
    """A backend whose executions are what the test says; `seen` are the batches it was given."""

    def __init__(self, script: Callable[[Sequence[Request]], Sequence[Response]]) -> None:
        self._script = script
        self.seen: list[list[str]] = []

    def execute(self, requests: Sequence[Request]) -> Execution:
        self.seen.append([request.request_id for request in requests])
        input_end_ns = time.monotonic_ns()
        responses = self._script(requests)
        return Execution(responses, input_end_ns, time.monotonic_ns())


def echo(requests: Sequence[Request]) -> Sequence[Response]:
    return [Response(request.inputs, {}, None) for request in requests]


def item(name: str, rows: int = 1, **fields: Any) -> Item:
    request = infer_request(tensor("A", [[1.0]] * rows), request_id=name, counter=ord(name), **fields)
    return items_of(request, now_ns=time.monotonic_ns())[0]


def errors(outcome: Outcome) -> list[str]:
    return [result.response.error.message if result.response.error else "" for result in outcome.results]


def test_every_item_gets_its_response_and_the_batchs_times() -> None:
    outcome = execute(Scripted(echo), "m_0", 8, [item("a"), item("b", rows=2)])
    assert [r.item.request.request_id for r in outcome.results] == ["a", "b"]
    assert all(result.executed for result in outcome.results)
    first, second = (result.timings for result in outcome.results)
    assert first[1:] == second[1:]
    assert all(ns > 0 for ns in first)
    assert outcome.computed is not None
    assert (outcome.computed.batch_size, outcome.computed.inferences) == (3, 3)


def test_a_cancelled_item_is_answered_without_being_executed() -> None:
    backend = Scripted(echo)
    gone = item("b")
    gone.cancel()
    outcome = execute(backend, "m_0", 8, [item("a"), gone])
    assert backend.seen == [["a"]]
    by_name = {result.item.request.request_id: result for result in outcome.results}
    assert not by_name["b"].executed
    assert by_name["b"].timings[1:] == (0, 0, 0)
    assert outcome.computed is not None
    assert outcome.computed.batch_size == 1


def test_an_item_past_its_deadline_is_unavailable_and_not_executed() -> None:
    backend = Scripted(echo)
    outcome = execute(backend, "m_0", 8, [item("a", deadline_us=0)])
    assert backend.seen == []
    assert outcome.computed is None
    assert isinstance(outcome.results[0].response.error, Unavailable)


def test_more_rows_than_the_model_takes_fail_together() -> None:
    backend = Scripted(echo)
    outcome = execute(backend, "m_0", 4, [item("a", rows=3), item("b", rows=2)])
    assert errors(outcome) == ["batch size 5 for 'm_0', max allowed is 4"] * 2
    assert (backend.seen, outcome.computed) == ([], None)


def test_one_request_to_a_model_without_batching_is_fine() -> None:
    outcome = execute(Scripted(echo), "m_0", 0, [item("a", batch_size=0)])
    assert outcome.computed is not None
    assert outcome.computed.batch_size == 1


def test_an_exception_is_the_error_of_every_request() -> None:
    def fail(_: Sequence[Request]) -> Sequence[Response]:
        raise ValueError("no such thing")

    outcome = execute(Scripted(fail), "m_0", 8, [item("a"), item("b")])
    assert errors(outcome) == ["no such thing"] * 2
    assert all(isinstance(result.response.error, InternalError) for result in outcome.results)


def test_a_failed_execution_counts_as_one_without_inferences() -> None:
    def fail(_: Sequence[Request]) -> Sequence[Response]:
        raise InvalidArgument("not today")

    outcome = execute(Scripted(fail), "m_0", 8, [item("a", rows=2)])
    assert isinstance(outcome.results[0].response.error, InvalidArgument)
    assert outcome.results[0].timings[1:] == (0, 0, 0)
    assert outcome.computed is not None
    assert (outcome.computed.batch_size, outcome.computed.inferences) == (2, 0)
    assert min(outcome.computed[2:]) > 0


def test_an_error_of_one_response_is_an_inference_all_the_same() -> None:
    def refuse(requests: Sequence[Request]) -> Sequence[Response]:
        return [Response((), {}, InvalidArgument("not this one")) for _ in requests]

    outcome = execute(Scripted(refuse), "m_0", 8, [item("a")])
    assert outcome.computed is not None
    assert outcome.computed.inferences == 1
    assert outcome.results[0].timings.compute_infer_ns > 0


def test_a_model_that_exits_fails_its_requests_only() -> None:
    def leave(_: Sequence[Request]) -> Sequence[Response]:
        raise SystemExit(3)

    assert errors(execute(Scripted(leave), "m_0", 8, [item("a")])) == ["3"]


def test_a_wrong_number_of_responses_fails_the_batch() -> None:
    outcome = execute(Scripted(lambda _: []), "m_0", 8, [item("a")])
    assert errors(outcome) == ["the backend gave 0 responses to 1 requests"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_board_shows_an_execution_while_it_lasts(fails: bool) -> None:
    fd = board.create()
    try:
        seen: list[bool] = []

        def look(requests: Sequence[Request]) -> Sequence[Response]:
            seen.append(board.read(fd)[0].is_executing)
            if fails:
                raise ValueError("no")
            return echo(requests)

        execute(Scripted(look), "m_0", 8, [item("a")], Running(board.SlotBoard(fd, 0), 1, 2))
        assert seen == [True]
        assert board.read(fd)[0][:4] == (1, 1, 1, 2)
    finally:
        os.close(fd)


class NotAnException(BaseException):
    """What some libraries end their work with."""


@pytest.mark.parametrize("raised", [NotAnException("stop"), GeneratorExit("stop"), KeyboardInterrupt("stop")])
def test_whatever_a_model_raises_fails_its_requests_only(raised: BaseException) -> None:
    def fail(_: Sequence[Request]) -> Sequence[Response]:
        raise raised

    assert errors(execute(Scripted(fail), "m_0", 8, [item("a")])) == ["stop"]
