"""What the shell around the open requests does when something cannot be done; the bus is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, cast

import pytest

from gateway_models import add_sub, call, int32, one_input, served
from shoal.bus import Bus, HeartbeatBody, Part, Peer, PeerEvent
from shoal.core.errors import InternalError, InvalidArgument, Unavailable
from shoal.core.messages import (
    NO_TIMINGS,
    NOTHING_CONFIRMED,
    V1,
    V2,
    V3,
    Cancel,
    Closed,
    EndedExecutor,
    Heartbeat,
    InferRequest,
    InferResponse,
    Message,
    ReconcileReply,
    Release,
    Resend,
    Retried,
    Stale,
    Taken,
    Timings,
)
from shoal.core.tensors import ArenaRef, Tensor, TensorHeader
from shoal.gateway.answer_stream import AnswerStream
from shoal.gateway.data_plane import DataPlane
from shoal.gateway.errors import Overloaded
from shoal.gateway.normalize import Checked, check
from shoal.gateway.request import InferAnswer, InferCall
from shoal.gateway.statistics import Statistics
from shoal.gateway.submit import Submitter
from shoal.memory import Arena, ArenaReader

OWNER = Heartbeat(V3, "scheduler-a", "scheduler", "host", 1, 0, False, {"models": 7}, (), (), (), (), NOTHING_CONFIRMED)
EXECUTOR = "executor-1"
MIB = 2**20
NO_PART = Part(0, memoryview(b""), memoryview(b""))


class ScriptedBus:
    """Remembers what is sent; `refuse` is raised for the requests of these counters."""

    def __init__(self) -> None:
        self.incarnation = "gateway-1"
        self.is_connected = True
        self.peers = {OWNER.incarnation: Peer(OWNER.incarnation, OWNER.role, OWNER, False)}
        self.body: Callable[[], HeartbeatBody] = HeartbeatBody
        self.handlers: dict[type, Callable[[str, Any, Part], None]] = {}
        self.sent: list[int] = []
        self.requests: list[InferRequest] = []
        self.others: list[tuple[str, Message]] = []
        self.refused: dict[int, Exception] = {}
        #: Tells of a peer.
        self.see: Callable[[PeerEvent], None] = lambda event: None

    def on(self, message: type, handler: Callable[[str, Any, Part], None]) -> None:
        self.handlers[message] = handler

    def on_link(self, callback: Callable[[bool], None]) -> None:
        """The link never changes here."""

    def watch_peers(self, callback: Callable[[PeerEvent], None]) -> None:
        self.see = callback
        callback(PeerEvent("appeared", self.peers[OWNER.incarnation], None))

    def send(self, to: str, message: Message, buffers: Sequence[bytes | memoryview] = ()) -> None:
        if isinstance(message, InferRequest):
            if message.counter in self.refused:
                raise self.refused[message.counter]
            self.sent.append(message.counter)
            self.requests.append(message)
        else:
            self.others.append((to, message))

    def hear(self, message: Message, sender: str = OWNER.incarnation) -> None:
        self.handlers[type(message)](sender, message, NO_PART)


class Stage:
    """A submitter with a model `addsub` and, where there is an arena, a model `m` with inputs of any size."""

    def __init__(self, arena: Arena | None = None) -> None:
        self.bus = ScriptedBus()
        self.found: Exception | None = None
        bus = cast(Bus, self.bus)
        self.plane = DataPlane(arena)
        self.statistics = Statistics(bus)
        self.submitter = Submitter(bus, self.plane, self.statistics, self._check_again)
        self.submitter.open()

    async def _check_again(self, asked: InferCall) -> Checked:
        raise self.found or AssertionError("not asked for")

    def submit(self) -> asyncio.Task[Any]:
        asked = call(int32("LEFT", [1, 2, 3, 4]), int32("RIGHT", [1, 2, 3, 4]))
        return asyncio.create_task(self._answer(check(asked, served(add_sub()))))

    def stream(self) -> AnswerStream:
        asked = call(int32("LEFT", [1, 2, 3, 4]), int32("RIGHT", [1, 2, 3, 4]))
        return self.submitter.stream(check(asked, served(add_sub())))

    def counted(self) -> tuple[int, int]:
        """Successes and failures."""
        rows = self.statistics.changed_lately()
        return sum(row.success for row in rows), sum(row.fail for row in rows)

    def submit_large(self, nbytes: int = MIB) -> asyncio.Task[Any]:
        tensor = Tensor("X", "UINT8", (nbytes,), bytes(nbytes))
        return asyncio.create_task(self._answer(check(call(tensor, model="m"), served(one_input("TYPE_UINT8", [-1])))))

    async def _answer(self, checked: Checked) -> InferAnswer:
        return await self.submitter.submit(checked)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
def arena() -> Iterator[Arena]:
    arena = Arena.open("test-submit-gateway", 8 * MIB)
    try:
        yield arena
    finally:
        arena.close()


@pytest.fixture
async def large(arena: Arena) -> AsyncIterator[Stage]:
    """A stage with an arena."""
    stage = Stage(arena)
    yield stage
    stage.submitter.close()
    stage.plane.close()


@pytest.fixture
def outputs() -> Iterator[Arena]:
    """The arena of an executor."""
    arena = Arena.open("test-submit-executor", 8 * MIB)
    try:
        yield arena
    finally:
        arena.close()


def answer(counter: int, outputs: Arena | None = None, content: bytes = b"") -> InferResponse:
    """An answer, with one output in the arena of the executor."""
    headers: tuple[TensorHeader, ...] = ()
    if outputs is not None:
        block = outputs.allocate(len(content), "gateway-1")
        block.memory[:] = content
        headers = (TensorHeader("Y", "UINT8", (len(content),), block.ref(0, len(content))),)
    return InferResponse(V2, counter, 0, True, True, None, headers, {}, NO_TIMINGS, False)


async def test_a_large_request_is_sent_by_reference_and_its_block_freed_when_it_is_closed(
    large: Stage, arena: Arena
) -> None:
    task = large.submit_large()
    await asyncio.sleep(0)
    (request,) = large.bus.requests
    assert request.host == arena.host
    ref = request.inputs[0].ref
    assert isinstance(ref, ArenaRef)
    assert ArenaReader(arena.host).copy(ref) == bytes(MIB)
    large.bus.hear(answer(1), EXECUTOR)
    await task
    assert len(arena.held()) == 1
    large.bus.hear(Closed(V1, (1,)))
    assert arena.held() == []


async def test_a_request_is_sent_again_with_the_same_block(large: Stage, arena: Arena) -> None:
    task = large.submit_large()
    await asyncio.sleep(0)
    large.bus.hear(ReconcileReply(V1, 7, (1,), ()))
    first, second = large.bus.requests
    assert second.inputs == first.inputs
    assert len(arena.held()) == 1
    large.bus.hear(answer(1))
    await task
    assert arena.held() == []


async def test_a_request_that_is_sent_again_says_what_it_died_of(large: Stage) -> None:
    task = large.submit_large()
    await asyncio.sleep(0)
    large.bus.hear(Retried(V1, ((1, ("signal 9",)),)))
    large.bus.hear(ReconcileReply(V1, 7, (1,), ()))
    assert [request.deaths for request in large.bus.requests] == [(), ("signal 9",)]
    large.bus.hear(answer(1))
    await task


async def test_a_stale_request_is_checked_again_where_its_inputs_lie(large: Stage, arena: Arena) -> None:
    found: list[InferCall] = []
    checked_again = asyncio.Event()

    async def check_again(asked: InferCall) -> Checked:
        found.append(asked)
        checked_again.set()
        return check(asked, served(one_input("TYPE_UINT8", [-1]), generation="g2"))

    large.submitter = Submitter(cast(Bus, large.bus), large.plane, Statistics(cast(Bus, large.bus)), check_again)
    large.submitter.open()
    task = large.submit_large()
    await asyncio.sleep(0)
    large.bus.hear(Stale(V1, (1,)))
    await asyncio.wait_for(checked_again.wait(), timeout=5.0)
    first, second = large.bus.requests
    assert (second.generation, second.inputs) == ("g2", first.inputs)
    assert found[0].inputs[0].data == memoryview(bytes(MIB))
    large.bus.hear(answer(1))
    await task


async def test_the_block_of_a_client_that_left_stays_until_it_is_closed(large: Stage, arena: Arena) -> None:
    task = large.submit_large()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert large.bus.others == [(OWNER.incarnation, Cancel(V1, "gateway-1", (1,)))]
    assert len(arena.held()) == 1
    large.bus.hear(Closed(V1, (1,)))
    assert arena.held() == []


async def test_a_request_without_room_is_refused_before_anything_is_sent(large: Stage, arena: Arena) -> None:
    tasks = [large.submit_large(3 * MIB) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="model 'm' was not accepted"):
        await tasks[2]
    with pytest.raises(InvalidArgument, match="model 'm' has 16777216 bytes"):
        await large.submit_large(16 * MIB)
    assert large.bus.sent == [1, 2]
    assert len(arena.held()) == 2
    for task in tasks[:2]:
        task.cancel()


async def test_the_block_of_a_request_that_is_not_taken_on_is_freed(large: Stage, arena: Arena) -> None:
    tensor = Tensor("X", "UINT8", (MIB,), bytes(MIB))
    late = call(tensor, model="m", deadline_s=1e-3)
    with pytest.raises(Unavailable, match="deadline passed"):
        await large.submitter.submit(check(late, served(one_input("TYPE_UINT8", [-1]))))
    assert arena.held() == []


async def test_an_output_by_reference_is_copied_and_released(large: Stage, outputs: Arena) -> None:
    content = bytes(range(256)) * 4096
    task = large.submit_large()
    await asyncio.sleep(0)
    large.bus.hear(answer(1, outputs, content), EXECUTOR)
    (output,) = (await task).outputs
    assert (type(output.data), output.data) == (bytes, content)
    assert large.bus.others == [(EXECUTOR, Release(V1, (1,)))]


async def test_an_answer_that_nobody_waits_for_is_released(large: Stage, outputs: Arena) -> None:
    large.bus.hear(answer(9, outputs, bytes(8192)), EXECUTOR)
    await asyncio.sleep(0)
    assert large.bus.others == [(EXECUTOR, Release(V1, (1,)))]


async def test_the_answer_of_an_ensemble_is_confirmed_to_the_scheduler_that_holds_its_memory(
    large: Stage, outputs: Arena
) -> None:
    task = large.submit_large()
    await asyncio.sleep(0)
    for _ in range(2):
        large.bus.hear(answer(1, outputs, bytes(8192)))
        await task
        await asyncio.sleep(0)
    assert large.bus.others == [(OWNER.incarnation, Taken(V1, ((1, 0),)))] * 2


async def test_an_output_of_an_ensemble_may_be_an_input_where_it_lies(large: Stage, arena: Arena) -> None:
    task = large.submit_large()
    await asyncio.sleep(0)
    (request,) = large.bus.requests
    header = request.inputs[0]._replace(name="Y")
    large.bus.hear(answer(1)._replace(outputs=(header,)))
    (output,) = (await task).outputs
    assert len(output.data) == MIB
    assert arena.held() == []


async def test_an_answer_whose_memory_is_gone_fails_the_request(large: Stage, outputs: Arena) -> None:
    task = large.submit_large()
    await asyncio.sleep(0)
    response = answer(1, outputs, bytes(MIB))
    outputs.close()
    large.bus.hear(response, EXECUTOR)
    with pytest.raises(
        Unavailable, match="model 'm' was executed, but the memory of its answer is gone with the process"
    ):
        await task


async def test_a_request_that_is_too_big_for_a_message_is_answered_and_forgotten(stage: Stage) -> None:
    stage.bus.refused[1] = InvalidArgument("beyond the bytes that fit")
    with pytest.raises(InvalidArgument, match="beyond"):
        await stage.submit()
    stage.bus.refused.clear()
    stage.bus.hear(ReconcileReply(V1, 7, (1,), ()))
    assert stage.bus.sent == []
    stage.submitter.close()


async def test_one_request_that_cannot_be_sent_again_does_not_keep_the_others_from_it(stage: Stage) -> None:
    tasks = [stage.submit(), stage.submit()]
    await asyncio.sleep(0)
    stage.bus.refused[1] = OverflowError("integer out of range")
    stage.bus.hear(ReconcileReply(V1, 7, (1, 2), ()))
    with pytest.raises(InternalError, match="cannot be sent: integer out of range"):
        await tasks[0]
    assert stage.bus.sent == [1, 2, 2]
    stage.bus.hear(InferResponse(V2, 2, 0, True, True, None, (), {}, NO_TIMINGS, False))
    assert (await tasks[1]).outputs == ()
    stage.submitter.close()


async def test_a_check_that_fails_for_an_unknown_reason_is_the_answer(stage: Stage) -> None:
    stage.found = RuntimeError("view broken")
    task = stage.submit()
    await asyncio.sleep(0)
    stage.bus.hear(Stale(V1, (1,)))
    with pytest.raises(InternalError, match="could not be checked again: RuntimeError: view broken"):
        await asyncio.wait_for(task, timeout=5.0)
    stage.submitter.close()


def part(index: int, *, final: bool = False, is_empty: bool = False, outputs: Arena | None = None) -> InferResponse:
    """One of several responses to the first request."""
    whole = answer(1, outputs, bytes([index]) * 8192)
    return whole._replace(response_index=index, final=final, is_empty=is_empty)


async def test_a_stream_gives_every_response_and_tells_what_was_taken(stage: Stage) -> None:
    stream = stage.stream()
    for index in range(2):
        stage.bus.hear(part(index), EXECUTOR)
    assert not (await stream.next()).is_final
    await asyncio.sleep(0)
    assert stage.bus.others == [(EXECUTOR, Taken(V1, ((1, 0),)))]
    stage.bus.hear(part(2, final=True, is_empty=True), EXECUTOR)
    await asyncio.sleep(0)
    assert stage.bus.others[1:] == [(EXECUTOR, Taken(V1, ((1, 2),)))]
    second, last = await stream.next(), await stream.next()
    assert (second.answer is None, second.is_final) == (False, False)
    assert last == (None, None, True)
    stream.close()
    await asyncio.sleep(0)
    assert len(stage.bus.others) == 2


async def test_a_model_with_one_response_is_a_stream_of_one(stage: Stage) -> None:
    stream = stage.stream()
    stage.bus.hear(answer(1), EXECUTOR)
    only = await stream.next()
    assert (only.answer is None, only.error, only.is_final) == (False, None, True)
    stream.close()
    assert stage.bus.others == []


async def test_errors_are_responses_too(stage: Stage) -> None:
    stream = stage.stream()
    stage.bus.hear(part(0)._replace(error=(3, "drop 0 is bad")), EXECUTOR)
    bad = await stream.next()
    assert isinstance(bad.error, InvalidArgument)
    assert not bad.is_final
    stage.submitter.close()
    last = await stream.next()
    assert (type(last.error), last.is_final) == (Unavailable, True)
    stream.close()


async def test_closing_a_stream_cancels_its_request_where_it_is_answered(stage: Stage) -> None:
    stream = stage.stream()
    stage.bus.hear(part(0), EXECUTOR)
    stream.close()
    stream.close()
    cancel = Cancel(V1, "gateway-1", (1,))
    assert stage.bus.others == [(OWNER.incarnation, cancel), (EXECUTOR, cancel)]


async def test_a_response_ahead_of_a_lost_one_is_asked_for_again_and_its_block_not_released(
    large: Stage, outputs: Arena
) -> None:
    stream = large.stream()
    large.bus.hear(part(1, outputs=outputs), EXECUTOR)
    await asyncio.sleep(0)
    assert large.bus.others == [(EXECUTOR, Resend(V1, "gateway-1", 1))]
    large.bus.hear(part(0, outputs=outputs), EXECUTOR)
    await asyncio.sleep(0)
    assert large.bus.others[1:] == [(EXECUTOR, Release(V1, (2,)))]
    assert bytes((await stream.next()).answer.outputs[0].data[:1]) == b"\0"  # type: ignore[union-attr]
    stream.close()


async def test_a_request_is_counted_once_with_its_final_response(stage: Stage) -> None:
    stream = stage.stream()
    stage.bus.hear(part(0), EXECUTOR)
    assert stage.counted() == (0, 0)
    stage.bus.hear(part(1)._replace(error=(3, "bad")), EXECUTOR)
    timings = Timings(1, 2, 3, 4)
    stage.bus.hear(part(2, final=True, is_empty=True)._replace(timings=timings), EXECUTOR)
    assert stage.counted() == (1, 0)
    stream.close()


async def test_whoever_awaits_one_response_of_a_model_that_gives_several_is_told(stage: Stage) -> None:
    task = stage.submit()
    await asyncio.sleep(0)
    stage.bus.hear(part(0), EXECUTOR)
    with pytest.raises(InternalError, match="expected a single response of model 'addsub', which gives any number"):
        await task
    cancel = Cancel(V1, "gateway-1", (1,))
    assert stage.bus.others == [(OWNER.incarnation, cancel), (EXECUTOR, cancel)]


async def test_a_stream_ends_when_the_process_that_gives_it_has(stage: Stage) -> None:
    stream = stage.stream()
    stage.bus.hear(part(0), EXECUTOR)
    agent = OWNER._replace(
        incarnation="agent-1", role="agent", owned={}, ended=(EndedExecutor(EXECUTOR, "signal 9", ()),)
    )
    stage.bus.see(PeerEvent("beat", Peer("agent-1", "agent", agent, False), None))
    await stream.next()
    last = await asyncio.wait_for(stream.next(), timeout=5.0)
    assert isinstance(last.error, Unavailable)
    assert "(signal 9); it is not executed a second time" in last.error.message
    stream.close()
    stage.submitter.close()
