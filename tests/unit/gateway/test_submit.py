"""What the shell around the open requests does when something cannot be done; the bus is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from gateway_models import add_sub, call, int32, served
from shoal.bus import Bus, HeartbeatBody, Part, Peer, PeerEvent
from shoal.core.errors import InternalError, InvalidArgument
from shoal.core.messages import (
    NO_TIMINGS,
    V1,
    V2,
    Heartbeat,
    InferRequest,
    InferResponse,
    Message,
    ReconcileReply,
    Stale,
)
from shoal.gateway.normalize import Checked, check
from shoal.gateway.request import InferCall
from shoal.gateway.statistics import Statistics
from shoal.gateway.submit import Submitter

OWNER = Heartbeat(V2, "scheduler-a", "scheduler", "host", 1, 0, False, {"models": 7}, (), (), (), ())
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
        self.refused: dict[int, Exception] = {}

    def on(self, message: type, handler: Callable[[str, Any, Part], None]) -> None:
        self.handlers[message] = handler

    def on_link(self, callback: Callable[[bool], None]) -> None:
        """The link never changes here."""

    def watch_peers(self, callback: Callable[[PeerEvent], None]) -> None:
        callback(PeerEvent("appeared", self.peers[OWNER.incarnation], None))

    def send(self, to: str, message: Message, buffers: Sequence[bytes | memoryview] = ()) -> None:
        if isinstance(message, InferRequest):
            if message.counter in self.refused:
                raise self.refused[message.counter]
            self.sent.append(message.counter)

    def hear(self, message: Message) -> None:
        self.handlers[type(message)](OWNER.incarnation, message, NO_PART)


class Stage:
    def __init__(self) -> None:
        self.bus = ScriptedBus()
        self.found: Exception | None = None
        bus = cast(Bus, self.bus)
        self.submitter = Submitter(bus, Statistics(bus), self._check_again)
        self.submitter.open()

    async def _check_again(self, asked: InferCall) -> Checked:
        raise self.found or AssertionError("not asked for")

    def submit(self) -> asyncio.Task[Any]:
        asked = call(int32("LEFT", [1, 2, 3, 4]), int32("RIGHT", [1, 2, 3, 4]))
        return asyncio.ensure_future(self.submitter.submit(check(asked, served(add_sub()))))


@pytest.fixture
async def stage() -> Stage:
    return Stage()


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
    stage.bus.hear(InferResponse(V1, 2, 0, True, True, None, (), {}, NO_TIMINGS))
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
