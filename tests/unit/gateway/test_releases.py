from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from shoal.bus import Bus, Part
from shoal.core.messages import V1, HoldQuery, Message, Release
from shoal.core.tensors import ARENA, INLINE, ArenaRef, Inline, Reference, TensorHeader
from shoal.gateway.releases import Releases


class ScriptedBus:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.handlers: dict[type, Callable[[str, Any, Part], None]] = {}

    def on(self, message: type, handler: Callable[[str, Any, Part], None]) -> None:
        self.handlers[message] = handler

    def send(self, to: str, message: Message) -> None:
        self.sent.append((to, message))


def output(ref: Reference) -> TensorHeader:
    return TensorHeader("Y", "UINT8", (8,), ref)


def in_block(generation: int) -> TensorHeader:
    return output(ArenaRef(ARENA, "h", "s", 0, 8, generation))


async def test_blocks_of_one_turn_are_released_together_for_each_executor() -> None:
    bus = ScriptedBus()
    releases = Releases(cast(Bus, bus))
    releases.add("x", [in_block(3), in_block(3), output(Inline(INLINE, 0, 8))])
    releases.add("y", [in_block(3)])
    releases.add("x", [in_block(2)])
    assert bus.sent == []
    await asyncio.sleep(0)
    assert bus.sent == [("x", Release(V1, (2, 3))), ("y", Release(V1, (3,)))]
    releases.add("x", [in_block(4)])
    await asyncio.sleep(0)
    assert bus.sent[2:] == [("x", Release(V1, (4,)))]


async def test_whatever_is_asked_after_is_released() -> None:
    bus = ScriptedBus()
    Releases(cast(Bus, bus)).open()
    bus.handlers[HoldQuery]("x", HoldQuery(V1, (1, 9)), Part(0, memoryview(b""), memoryview(b"")))
    assert bus.sent == [("x", Release(V1, (1, 9)))]
