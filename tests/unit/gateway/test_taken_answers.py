from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from shoal.bus import Bus
from shoal.core.messages import V1, Message, Taken
from shoal.gateway.taken_answers import TakenAnswers


class ScriptedBus:
    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []

    def send(self, to: str, message: Message, buffers: Sequence[bytes] = ()) -> None:
        self.sent.append((to, message))


async def test_what_was_taken_in_one_turn_is_told_in_one_message_to_each() -> None:
    bus = ScriptedBus()
    taken = TakenAnswers(cast(Bus, bus))
    taken.add("executor-1", 7, 0)
    taken.add("executor-1", 7, 2)
    taken.add("executor-1", 7, 1)
    taken.add("executor-1", 8, 0)
    taken.add("executor-2", 9, 4)
    assert bus.sent == []
    await asyncio.sleep(0)
    assert bus.sent == [("executor-1", Taken(V1, ((7, 2), (8, 0)))), ("executor-2", Taken(V1, ((9, 4),)))]
    await asyncio.sleep(0)
    assert len(bus.sent) == 2
