from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from requests_to_execute import NO_MEMORY, infer_request, large_tensor, no_stream, tensor
from shoal.core.encoding import SCHEMA, decode
from shoal.core.errors import InternalError, Unavailable
from shoal.core.messages import InferRequest, InferResponse, Timings
from shoal.memory import Arena, ArenaReader
from shoal.workers.backend import Response, SenderClosed
from shoal.workers.executor.course import Course
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.stream import CREDIT_COUNT, CREDIT_NBYTES, Sent, Stream

HEADER, _ = infer_request(tensor("A", [[1.0]]), counter=7)
RESPONSE = Response((tensor("X", [[1.0]]),), {}, None)
#: A sender that blocks does so for as long as the test looks.
LOOK_S = 0.05


class Received:
    """What the loop's thread hears; calls are run where they are posted."""

    def __init__(self) -> None:
        self.messages: list[InferResponse] = []
        self.sizes: list[int] = []
        self.freed: list[int | None] = []
        self.ends = 0

    def sent(self, stream: Stream, sent: Sent) -> None:
        self.messages.append(cast(InferResponse, decode(SCHEMA[InferResponse][0], sent.answer.header)))
        self.sizes.append(sent.nbytes)

    def dropped(self, stream: Stream, block: int | None) -> None:
        self.freed.append(block)

    def ended(self, stream: Stream) -> None:
        self.ends += 1

    @property
    def places(self) -> list[tuple[int, bool, bool]]:
        return [(message.response_index, message.final, message.is_empty) for message in self.messages]


def call(posted: Callable[[], None]) -> None:
    posted()


def opened(
    memory: HostMemory = NO_MEMORY, header: InferRequest = HEADER, course: Course | None = None
) -> tuple[Stream, Received]:
    received = Received()
    return Stream(header, 5, course or begun(), memory=memory, post=call, receiver=received), received


def begun(start_ns: int = 0) -> Course:
    course = Course(no_stream)
    course.begin(start_ns or time.monotonic_ns(), time.monotonic_ns())
    return course


def sending(stream: Stream, response: Response = RESPONSE, is_final: bool = False) -> threading.Thread:
    thread = threading.Thread(target=stream.send, args=(response, is_final))
    thread.start()
    return thread


def test_responses_are_numbered_in_their_order() -> None:
    stream, received = opened()
    stream.send(RESPONSE, False)
    stream.send(RESPONSE, False)
    stream.send(None, True)
    assert received.places == [(0, False, False), (1, False, False), (2, True, True)]
    assert (received.sizes, received.ends) == ([4, 4, 0], 1)
    assert [message.counter for message in received.messages] == [7] * 3


@pytest.mark.parametrize("how", ["sent", "ended"])
def test_nothing_is_sent_after_the_end(how: str) -> None:
    stream, received = opened()
    if how == "sent":
        stream.send(RESPONSE, True)
    else:
        stream.end(Unavailable("unloaded"))
    with pytest.raises(SenderClosed):
        stream.send(RESPONSE, False)
    stream.end(InternalError("late"))
    assert (len(received.messages), received.ends) == (1, 1)


def test_a_response_or_the_end_is_needed() -> None:
    with pytest.raises(InternalError, match="needs a response, or the flag"):
        opened()[0].send(None, False)


def test_a_sender_waits_for_what_was_not_taken() -> None:
    stream, received = opened()
    for _ in range(CREDIT_COUNT):
        stream.send(RESPONSE, False)
    thread = sending(stream)
    thread.join(LOOK_S)
    assert thread.is_alive()
    stream.taken(1, 4)
    thread.join(5)
    assert len(received.messages) == CREDIT_COUNT + 1


def test_bytes_count_too_and_the_end_does_not_wait() -> None:
    stream, received = opened()
    stream.send(Response((large_tensor("X", nbytes=CREDIT_NBYTES),), {}, None), False)
    thread = sending(stream)
    thread.join(LOOK_S)
    assert thread.is_alive()
    stream.taken(1, CREDIT_NBYTES)
    thread.join(5)
    stream.send(None, True)
    assert received.places[-1] == (2, True, True)


@pytest.mark.parametrize("how", ["dropped", "ended"])
def test_a_sender_that_waits_is_woken_when_nobody_waits_for_it(how: str) -> None:
    stream, received = opened()
    for _ in range(CREDIT_COUNT):
        stream.send(RESPONSE, False)
    refusals: list[SenderClosed] = []

    def send() -> None:
        try:
            stream.send(RESPONSE, False)
        except SenderClosed as refusal:
            refusals.append(refusal)

    thread = threading.Thread(target=send)
    thread.start()
    if how == "dropped":
        stream.drop()
    else:
        stream.end(Unavailable("unloaded"))
    thread.join(5)
    assert not thread.is_alive()
    assert len(refusals) == (0 if how == "dropped" else 1)
    assert len(received.messages) == CREDIT_COUNT + (0 if how == "dropped" else 1)


def test_what_is_sent_to_nobody_goes_nowhere_and_never_waits() -> None:
    stream, received = opened()
    stream.drop()
    for _ in range(2 * CREDIT_COUNT):
        stream.send(RESPONSE, False)
    stream.send(None, True)
    assert (received.messages, received.ends) == ([], 1)


def test_an_event_loop_is_not_blocked_as_soon_as_a_thread() -> None:
    stream, received = opened()

    async def send() -> None:
        for _ in range(4 * CREDIT_COUNT):
            stream.send(RESPONSE, False)

    asyncio.run(send())
    assert len(received.messages) == 4 * CREDIT_COUNT


def test_threads_that_send_at_once_are_put_in_one_order() -> None:
    stream, received = opened()
    threads = [sending(stream) for _ in range(CREDIT_COUNT)]
    for thread in threads:
        thread.join(5)
    assert [index for index, _, _ in received.places] == list(range(CREDIT_COUNT))


def test_times_are_those_of_the_execution_as_far_as_it_has_come() -> None:
    course = begun(time.monotonic_ns() - 1000)
    stream, received = opened(course=course)
    stream.send(RESPONSE, False)
    course.end(1, 2, 3)
    stream.send(RESPONSE, False)
    stream.end(InternalError("no"))
    running, over, failed = (message.timings for message in received.messages)
    assert running.queue_ns == 5
    assert min(running) > 0
    assert (over, failed) == (Timings(5, 1, 2, 3), Timings(5, 0, 0, 0))


def test_a_response_made_of_inputs_that_were_taken_back_ends_the_request(tmp_path: Path) -> None:
    arena = Arena.open("gateway-1", 2**24, tmp_path)
    memory = HostMemory(arena.host, None, ArenaReader(arena.host, tmp_path))
    header, _ = infer_request(large_tensor("A"), arena=arena)
    for is_over in (False, True):
        stream, received = opened(memory, header)
        stream.send(RESPONSE, False)
        if is_over:
            stream.let_go()
        else:
            arena.free(1)
            stream.send(RESPONSE, False)
        ((_, error),) = [message.error for message in received.messages if message.error is not None]
        assert "input 'A': its 65536 bytes of shared memory were taken back" in error
        assert received.ends == 1
    arena.close()
