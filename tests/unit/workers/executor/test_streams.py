from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from requests_to_execute import NO_MEMORY, infer_request, large_tensor, no_stream, tensor
from shoal.bus import Bus, Part, Peer, PeerEvent
from shoal.core.encoding import SCHEMA, decode
from shoal.core.errors import InvalidArgument
from shoal.core.messages import (
    NOTHING_CONFIRMED,
    V1,
    V3,
    Heartbeat,
    InferResponse,
    Message,
    Release,
    RequestKey,
    Taken,
)
from shoal.memory import Arena, ArenaReader
from shoal.workers.backend import Response
from shoal.workers.executor.course import Course
from shoal.workers.executor.delivery import Delivery
from shoal.workers.executor.host_memory import HostMemory
from shoal.workers.executor.stream import CREDIT_COUNT, Stream
from shoal.workers.executor.streams import Streams

GATEWAY = "gateway-1"
KEY = (GATEWAY, 7)
RESPONSE = Response((tensor("X", [[1.0]]),), {}, None)
NO_PART = Part(0, memoryview(b""), memoryview(b""))


class ScriptedBus:
    """Remembers which responses are sent; `too_large` are refused."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.handlers: dict[type, Callable[[str, Any, Part], None]] = {}
        self.watchers: list[Callable[[PeerEvent], None]] = []
        self.link_watchers: list[Callable[[bool], None]] = []
        self.sent: list[InferResponse] = []
        self.is_too_large = False

    def on(self, message: type, handler: Callable[[str, Any, Part], None]) -> None:
        self.handlers[message] = handler

    def on_link(self, callback: Callable[[bool], None]) -> None:
        self.link_watchers.append(callback)

    def watch_peers(self, callback: Callable[[PeerEvent], None]) -> None:
        self.watchers.append(callback)

    def send_encoded(self, to: str, kind: int, header: bytes, buffers: Sequence[bytes | memoryview]) -> None:
        if self.is_too_large and buffers:
            raise InvalidArgument("beyond the bytes that fit")
        self.sent.append(cast(InferResponse, decode(SCHEMA[InferResponse][0], header)))

    def hear(self, message: Message, sender: str = GATEWAY) -> None:
        self.handlers[type(message)](sender, message, NO_PART)

    def take(self) -> list[int]:
        """The indexes of what was sent since it was asked last."""
        sent, self.sent = self.sent, []
        return [message.response_index for message in sent]


def call(posted: Callable[[], None]) -> None:
    posted()


class Stage:
    def __init__(self, memory: HostMemory = NO_MEMORY) -> None:
        self.bus = ScriptedBus()
        self.ended: list[RequestKey] = []
        self.memory = memory
        bus = cast(Bus, self.bus)
        self.delivery = Delivery(bus, memory)
        self.streams = Streams(bus, self.delivery, self.ended.append)
        self.delivery.start()
        self.streams.start()

    def open(self, host: str = "") -> Stream:
        header, _ = infer_request(tensor("A", [[1.0]]), counter=7, host=host)
        return Stream(header, 0, Course(no_stream), memory=self.memory, post=call, receiver=self.streams)

    def taken(self, index: int) -> None:
        self.bus.hear(Taken(V1, ((7, index),)))


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_responses_are_sent_as_they_come_and_kept_until_they_are_taken(stage: Stage) -> None:
    stream = stage.open()
    for _ in range(3):
        stream.send(RESPONSE, False)
    assert stage.bus.take() == [0, 1, 2]
    stage.taken(0)
    assert stage.streams.repeat(KEY)
    assert stage.bus.take() == [1, 2]
    stream.send(None, True)
    assert stage.ended == [KEY]
    stage.taken(3)
    assert not stage.streams.repeat(KEY)
    assert list(stage.streams.keys()) == []


def test_taking_gives_credit(stage: Stage) -> None:
    stream = stage.open()
    for _ in range(CREDIT_COUNT):
        stream.send(RESPONSE, False)
    stage.taken(CREDIT_COUNT - 1)
    for _ in range(CREDIT_COUNT):
        stream.send(RESPONSE, False)
    assert stage.bus.take() == list(range(2 * CREDIT_COUNT))


def test_an_only_response_is_kept_as_any_answer(stage: Stage) -> None:
    stage.open().send(RESPONSE, True)
    assert not stage.streams.repeat(KEY)
    assert stage.delivery.repeat(KEY)
    assert stage.bus.take() == [0, 0]


def test_what_nobody_waits_for_is_neither_sent_nor_kept(stage: Stage) -> None:
    stream = stage.open()
    stream.send(RESPONSE, False)
    stream.drop()
    stage.streams.forget(KEY)
    stream.send(RESPONSE, False)
    stream.send(None, True)
    assert stage.bus.take() == [0]
    assert stage.ended == [KEY]
    assert stage.streams.of_submitter(GATEWAY) == []


def heartbeat(links: int) -> Peer:
    beat = Heartbeat(V3, GATEWAY, "gateway", "", 1, links, False, {}, (), (), (), (), NOTHING_CONFIRMED)
    return Peer(GATEWAY, "gateway", beat, False)


def test_after_trouble_on_either_link_everything_is_sent_again(stage: Stage) -> None:
    stream = stage.open()
    stream.send(RESPONSE, False)
    stream.send(RESPONSE, False)
    stage.bus.take()
    for watcher in stage.bus.link_watchers:
        watcher(False)
    assert stage.bus.take() == []
    for watcher in stage.bus.link_watchers:
        watcher(True)
    assert stage.bus.take() == [0, 1]
    for watch in stage.bus.watchers:
        watch(PeerEvent("beat", heartbeat(1), heartbeat(0).heartbeat))
    assert stage.bus.take() == [0, 1]


def test_more_than_a_message_can_hold_ends_the_request(stage: Stage) -> None:
    stage.bus.is_too_large = True
    stage.open().send(RESPONSE, False)
    (message,) = stage.bus.sent
    assert (message.error, message.final) == ((3, "beyond the bytes that fit"), True)


def test_a_block_stays_until_it_is_released_and_is_not_sent_again_then(tmp_path: Path) -> None:
    arena = Arena.open("executor-1", 2**24, tmp_path)
    stage = Stage(HostMemory(arena.host, arena, ArenaReader(arena.host, tmp_path)))
    stage.open(arena.host).send(Response((large_tensor("X"),), {}, None), False)
    (block,) = arena.held()
    stage.bus.hear(Release(V1, (block.generation,)))
    assert arena.held() == []
    stage.bus.take()
    stage.streams.repeat(KEY)
    (message,) = stage.bus.sent
    assert (message.response_index, message.final, message.outputs) == (0, True, ())
    arena.close()


def test_the_block_of_a_response_that_is_dropped_is_freed(tmp_path: Path) -> None:
    arena = Arena.open("executor-1", 2**24, tmp_path)
    stage = Stage(HostMemory(arena.host, arena, ArenaReader(arena.host, tmp_path)))
    stream = stage.open(arena.host)
    stream.drop()
    stream.send(Response((large_tensor("X"),), {}, None), True)
    assert arena.held() == []
    arena.close()
