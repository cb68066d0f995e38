from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from idle_backend import IdleBackend
from requests_to_execute import NO_MEMORY, infer_request, items_of, large_tensor, tensor
from shoal.core.encoding import SCHEMA, decode
from shoal.core.errors import InternalError, InvalidArgument, Unavailable
from shoal.core.messages import InferRequest, InferResponse
from shoal.core.tensors import ArenaRef
from shoal.memory import Arena, ArenaReader
from shoal.workers import board
from shoal.workers.backend import Execution, Request, Response, SenderClosed
from shoal.workers.executor.course import Course
from shoal.workers.executor.execution import Outcome, Running, execute
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.item import Item
from shoal.workers.executor.stream import Sent, Stream


class Scripted(IdleBackend):
    """A backend whose executions are what the test says; `seen` are the batches it was given."""

    def __init__(self, script: Callable[[Sequence[Request]], Sequence[Response | None]]) -> None:
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
    return [result.answered.error.message if result.answered.error else "" for result in outcome.results]


def test_every_item_gets_its_response_and_the_batchs_times() -> None:
    outcome = execute(Scripted(echo), "m_0", 8, [item("a"), item("b", rows=2)], NO_MEMORY)
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
    outcome = execute(backend, "m_0", 8, [item("a"), gone], NO_MEMORY)
    assert backend.seen == [["a"]]
    by_name = {result.item.request.request_id: result for result in outcome.results}
    assert not by_name["b"].executed
    assert by_name["b"].timings[1:] == (0, 0, 0)
    assert outcome.computed is not None
    assert outcome.computed.batch_size == 1


def test_an_item_past_its_deadline_is_unavailable_and_not_executed() -> None:
    backend = Scripted(echo)
    outcome = execute(backend, "m_0", 8, [item("a", deadline_us=0)], NO_MEMORY)
    assert backend.seen == []
    assert outcome.computed is None
    assert isinstance(outcome.results[0].answered.error, Unavailable)


def test_more_rows_than_the_model_takes_fail_together() -> None:
    backend = Scripted(echo)
    outcome = execute(backend, "m_0", 4, [item("a", rows=3), item("b", rows=2)], NO_MEMORY)
    assert errors(outcome) == ["batch size 5 for 'm_0', max allowed is 4"] * 2
    assert (backend.seen, outcome.computed) == ([], None)


def test_one_request_to_a_model_without_batching_is_fine() -> None:
    outcome = execute(Scripted(echo), "m_0", 0, [item("a", batch_size=0)], NO_MEMORY)
    assert outcome.computed is not None
    assert outcome.computed.batch_size == 1


def test_an_exception_is_the_error_of_every_request() -> None:
    def fail(_: Sequence[Request]) -> Sequence[Response]:
        raise ValueError("no such thing")

    outcome = execute(Scripted(fail), "m_0", 8, [item("a"), item("b")], NO_MEMORY)
    assert errors(outcome) == ["no such thing"] * 2
    assert all(isinstance(result.answered.error, InternalError) for result in outcome.results)


def test_a_failed_execution_counts_as_one_without_inferences() -> None:
    def fail(_: Sequence[Request]) -> Sequence[Response]:
        raise InvalidArgument("not today")

    outcome = execute(Scripted(fail), "m_0", 8, [item("a", rows=2)], NO_MEMORY)
    assert isinstance(outcome.results[0].answered.error, InvalidArgument)
    assert outcome.results[0].timings[1:] == (0, 0, 0)
    assert outcome.computed is not None
    assert (outcome.computed.batch_size, outcome.computed.inferences) == (2, 0)
    assert min(outcome.computed[2:]) > 0


def test_an_error_of_one_response_is_an_inference_all_the_same() -> None:
    def refuse(requests: Sequence[Request]) -> Sequence[Response]:
        return [Response((), {}, InvalidArgument("not this one")) for _ in requests]

    outcome = execute(Scripted(refuse), "m_0", 8, [item("a")], NO_MEMORY)
    assert outcome.computed is not None
    assert outcome.computed.inferences == 1
    assert outcome.results[0].timings.compute_infer_ns > 0


def test_a_model_that_exits_fails_its_requests_only() -> None:
    def leave(_: Sequence[Request]) -> Sequence[Response]:
        raise SystemExit(3)

    assert errors(execute(Scripted(leave), "m_0", 8, [item("a")], NO_MEMORY)) == ["3"]


def test_a_wrong_number_of_responses_fails_the_batch() -> None:
    outcome = execute(Scripted(lambda _: []), "m_0", 8, [item("a")], NO_MEMORY)
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

        running = Running(board.SlotBoard(fd, 0), 1, 2)
        execute(Scripted(look), "m_0", 8, [item("a")], NO_MEMORY, running=running)
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

    assert errors(execute(Scripted(fail), "m_0", 8, [item("a")], NO_MEMORY)) == ["stop"]


class Shared:
    """A submitter's arena, and an executor's memory on the same host."""

    def __init__(self, folder: Path) -> None:
        self.inputs = Arena.open("gateway-1", 2**24, folder)
        self.outputs = Arena.open("executor-1", 2**24, folder)
        self.memory = HostMemory(self.outputs.host, self.outputs, ArenaReader(self.outputs.host, folder))

    def item(self, name: str, value: int = 1, **fields: Any) -> Item:
        """A request of one large input."""
        known = {"request_id": name, "counter": ord(name), "host": self.outputs.host}
        request = infer_request(large_tensor("A", value), arena=self.inputs, **(known | fields))
        return items_of(request, now_ns=time.monotonic_ns(), view=self.memory.view)[0]

    def take_back(self, generation: int) -> None:
        self.inputs.free(generation)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    shared = Shared(tmp_path)
    yield shared
    shared.inputs.close()
    shared.memory.close()


def test_outputs_that_are_views_of_inputs_are_copied_before_those_go(shared: Shared) -> None:
    (result,) = execute(Scripted(echo), "m_0", 8, [shared.item("a", 7)], shared.memory).results
    shared.inputs.held()[0].memory[:] = bytes(65536)
    (header,) = result.answered.outputs.headers
    assert isinstance(header.ref, ArenaRef)
    assert bytes(shared.memory.view(header.ref)) == b"\7" * 65536
    assert [block.holder for block in shared.outputs.held()] == ["gateway-1"]


def test_outputs_that_are_views_of_inputs_are_copied_for_another_host_too(shared: Shared) -> None:
    (result,) = execute(Scripted(echo), "m_0", 8, [shared.item("a", 7, host="")], shared.memory).results
    shared.inputs.held()[0].memory[:] = bytes(65536)
    assert result.answered.outputs.buffers == [b"\7" * 65536]


def test_a_block_taken_back_while_the_model_executes_fails_its_request_alone(shared: Shared) -> None:
    def take_back(requests: Sequence[Request]) -> Sequence[Response]:
        shared.take_back(1)
        return echo(requests)

    outcome = execute(Scripted(take_back), "m_0", 8, [shared.item("a"), shared.item("b")], shared.memory)
    lost, fine = outcome.results
    assert isinstance(lost.answered.error, Unavailable)
    assert "input 'A': its 65536 bytes of shared memory were taken back" in lost.answered.error.message
    assert (lost.executed, lost.answered.outputs.headers, fine.answered.error) == (True, (), None)
    assert [block.generation for block in shared.outputs.held()] == [2]


def test_a_block_gone_before_the_execution_fails_its_request_alone(shared: Shared) -> None:
    lost = infer_request(large_tensor("A"), arena=shared.inputs, request_id="a", counter=1)
    shared.take_back(1)
    (unreadable,) = items_of(lost, view=shared.memory.view)
    backend = Scripted(echo)
    first, second = execute(backend, "m_0", 8, [unreadable, shared.item("b")], shared.memory).results
    assert backend.seen == [["b"]]
    assert (isinstance(first.answered.error, Unavailable), first.executed) == (True, False)
    assert second.answered.error is None


class LettingGo(Scripted):
    """Notes what is packed when it is to let go."""

    def __init__(self, shared: Shared, script: Callable[[Sequence[Request]], Sequence[Response]] = echo) -> None:
        super().__init__(script)
        self._outputs = shared.outputs
        self.packed: list[int] = []

    def let_go(self) -> None:
        self.packed.append(len(self._outputs.held()))


def test_a_backend_lets_go_of_shared_inputs_after_its_outputs_were_copied(shared: Shared) -> None:
    backend, item = LettingGo(shared), shared.item("a")
    execute(backend, "m_0", 8, [item], shared.memory)
    assert (backend.packed, item.request.inputs) == ([1], ())


def test_a_backend_lets_go_of_shared_inputs_after_it_failed(shared: Shared) -> None:
    def fail(_: Sequence[Request]) -> Sequence[Response]:
        raise ValueError("no")

    backend, item = LettingGo(shared, fail), shared.item("a")
    (result,) = execute(backend, "m_0", 8, [item], shared.memory).results
    assert (backend.packed, item.request.inputs) == ([0], ())
    assert result.answered.error is not None
    assert result.answered.error.__traceback__ is None


def test_requests_without_shared_inputs_cost_no_letting_go(shared: Shared) -> None:
    backend = LettingGo(shared)
    execute(backend, "m_0", 8, [item("a")], shared.memory)
    assert backend.packed == []


def test_outputs_without_room_fail_their_request_alone(shared: Shared) -> None:
    def answers(requests: Sequence[Request]) -> Sequence[Response]:
        return [Response((large_tensor("X", nbytes=n),), {}, None) for n in (2**25, 2**16)]

    lost, fine = execute(Scripted(answers), "m_0", 8, [shared.item("a"), shared.item("b")], shared.memory).results
    assert isinstance(lost.answered.error, Unavailable)
    assert "33554432 bytes of outputs: shared memory is full" in lost.answered.error.message
    assert fine.answered.error is None


def test_only_outputs_that_were_asked_for_take_memory(shared: Shared) -> None:
    def answers(_: Sequence[Request]) -> Sequence[Response]:
        return [Response((large_tensor("X"), large_tensor("Y")), {}, None)]

    (result,) = execute(Scripted(answers), "m_0", 8, [shared.item("a", outputs=("Y",))], shared.memory).results
    assert [header.name for header in result.answered.outputs.headers] == ["Y"]
    assert [block.nbytes for block in shared.outputs.held()] == [65536]


def test_what_a_strange_backend_gives_as_data_fails_its_request_alone() -> None:
    def answers(requests: Sequence[Request]) -> Sequence[Response]:
        strange: Any = None
        return [Response((requests[0].inputs[0]._replace(data=strange),), {}, None)]

    outcome = execute(Scripted(answers), "m_0", 8, [item("a")], NO_MEMORY)
    assert errors(outcome)[0].startswith("the response cannot be sent: ")


class Posted:
    """What streams hand over to the loop, which runs at once: indexes, finals and error texts of their responses."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bool, str]] = []
        self.ends = 0

    def open_stream(self, header: InferRequest, queue_ns: int, course: Course) -> Stream:
        return Stream(header, queue_ns, course, memory=NO_MEMORY, post=lambda call: call(), receiver=self)

    def sent(self, stream: Stream, sent: Sent) -> None:
        message = cast(InferResponse, decode(SCHEMA[InferResponse][0], sent.answer.header))
        self.heard.append((message.response_index, message.final, message.error[1] if message.error else ""))

    def dropped(self, stream: Stream, block: int | None) -> None:
        raise AssertionError("nobody has cancelled anything")

    def ended(self, stream: Stream) -> None:
        self.ends += 1

    def items(self, *names: str) -> list[Item]:
        requests = [infer_request(tensor("A", [[1.0]]), request_id=name, counter=ord(name)) for name in names]
        return items_of(*requests, now_ns=time.monotonic_ns(), open_stream=self.open_stream)


def test_requests_with_senders_are_answered_by_these_and_the_others_as_ever() -> None:
    posted = Posted()

    def answer(requests: Sequence[Request]) -> Sequence[Response | None]:
        sender = requests[0].open_sender()
        assert requests[0].open_sender() is sender
        sender.send(Response((), {}, None), False)
        sender.send(None, True)
        return [None, Response((), {}, None)]

    items = posted.items("a", "b")
    outcome = execute(Scripted(answer), "m_0", 8, items, NO_MEMORY)
    assert [result.item for result in outcome.results] == items[1:]
    assert posted.heard == [(0, False, ""), (1, True, "")]
    assert outcome.computed is not None
    assert outcome.computed.inferences == 2


def test_a_sender_goes_on_after_the_execution_but_none_is_opened_any_more() -> None:
    posted, kept = Posted(), []

    def answer(requests: Sequence[Request]) -> Sequence[Response | None]:
        kept.append(requests[0].open_sender())
        return [None]

    (item,) = posted.items("a")
    execute(Scripted(answer), "m_0", 8, [item], NO_MEMORY)
    assert item.request.inputs == ()
    kept[0].send(Response((), {}, None), True)
    assert posted.heard == [(0, True, "")]
    (late,) = posted.items("b")
    execute(Scripted(echo), "m_0", 8, [late], NO_MEMORY)
    with pytest.raises(SenderClosed, match="during the execution only"):
        late.open_sender()


def test_an_exception_ends_what_senders_have_not_ended() -> None:
    posted = Posted()

    def fail(requests: Sequence[Request]) -> Sequence[Response | None]:
        requests[0].open_sender().send(None, True)
        requests[1].open_sender().send(Response((), {}, None), False)
        raise ValueError("on purpose")

    ended, begun, plain = posted.items("a", "b", "c")
    outcome = execute(Scripted(fail), "m_0", 8, [ended, begun, plain], NO_MEMORY)
    assert posted.heard == [(0, True, ""), (0, False, ""), (1, True, "on purpose")]
    assert [result.item for result in outcome.results] == [plain]


def test_a_response_to_a_request_that_a_sender_answers_ends_it() -> None:
    posted = Posted()

    def answer(requests: Sequence[Request]) -> Sequence[Response | None]:
        requests[0].open_sender()
        return [Response((), {}, None)]

    assert execute(Scripted(answer), "m_0", 8, posted.items("a"), NO_MEMORY).results == []
    assert posted.heard == [(0, True, "the backend gave a response to a request that it answers by a sender")]


def test_nothing_for_a_request_without_a_sender_is_its_error() -> None:
    outcome = execute(Scripted(lambda _: [None]), "m_0", 8, [item("a")], NO_MEMORY)
    assert errors(outcome) == ["the backend gave a request no response"]
