"""Calls that are being answered, what ends them early, and the wait for their end.

A call ends early at its deadline and when its client has left. The deadline is a timer. The client's leaving has to be
asked for, since pyvoy does not tell it on its own once a request has been read: `receive()` then answers at once, with
an empty piece of body as long as the client is there and `http.disconnect` when it is not; and so does `send()` of
nothing, with an error. So calls that take longer than usual are asked about now and then; fast calls are never asked
about.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

#: An ASGI message; the keys of a kind are its specification's, the values have no common type.
AsgiMessage = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[AsgiMessage]]
#: Finds out whether the client of a call has left.
HasLeft = Callable[[], Awaitable[bool]]

#: How long a call runs before it is asked about, and the pause between two questions.
ASK_EVERY_S = 0.1

#: Questions per round, so that thousands of open calls cost no more than a few percent of a core; the rest waits for
#: the next round.
_QUESTIONS_PER_ROUND = 128

_DRAINED_POLL_S = 0.02
#: Calls that were on their way when the last one ended have this long to arrive.
_QUIET_S = 0.1


class EndedEarly(enum.Enum):
    """Why a call's task was cancelled."""

    DEADLINE = enum.auto()
    CLIENT_LEFT = enum.auto()


class OpenCall:
    """One call that is being answered by the task that made this object."""

    __slots__ = ("_is_open", "_task", "_timer", "ask_at_s", "ended_early", "has_left", "is_asked")

    def __init__(self, has_left: HasLeft) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer: asyncio.TimerHandle | None = None
        self.has_left = has_left
        self._is_open = True
        self.is_asked = False
        self.ask_at_s = time.monotonic() + ASK_EVERY_S
        self.ended_early: EndedEarly | None = None

    def expire_at(self, deadline_s: float) -> None:
        delay_s = max(0.0, deadline_s - time.monotonic())
        self._timer = self._task.get_loop().call_later(delay_s, self.end_early, EndedEarly.DEADLINE)

    def end_early(self, reason: EndedEarly) -> None:
        if self._is_open and self.ended_early is None:
            self.ended_early = reason
            self._task.cancel()

    def close(self) -> None:
        """The call is over, however: nothing cancels its task any more."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()
        if self.ended_early is not None:
            self._task.uncancel()


class OpenCalls:
    """The calls of one event loop."""

    def __init__(self) -> None:
        # In the order of `ask_at_s`: new calls and those just asked about go to the end.
        self._calls: dict[OpenCall, None] = {}
        self._round: asyncio.TimerHandle | None = None
        self._questions: set[asyncio.Future[bool]] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def open(self, has_left: HasLeft, deadline_s: float | None) -> OpenCall:
        """A call answered by the current task. `close` must follow."""
        call = OpenCall(has_left)
        if deadline_s is not None:
            call.expire_at(deadline_s)
        self._calls[call] = None
        if self._round is None:
            self._round = asyncio.get_running_loop().call_later(ASK_EVERY_S, self._ask_round)
        return call

    def close(self, call: OpenCall) -> None:
        del self._calls[call]
        call.close()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until no call is open, and none came for a moment; False when calls are left after `timeout_s`."""
        now = time.monotonic()
        give_up_s, quiet_since_s = now + timeout_s, now
        while True:
            now = time.monotonic()
            if self._calls:
                quiet_since_s = now
            elif now - quiet_since_s >= _QUIET_S:
                return True
            if now >= give_up_s:
                return not self._calls
            await asyncio.sleep(_DRAINED_POLL_S)

    def _ask_round(self) -> None:
        now = time.monotonic()
        due: list[OpenCall] = []
        for call in self._calls:
            if call.ask_at_s > now or len(due) == _QUESTIONS_PER_ROUND:
                break
            due.append(call)
        for call in due:
            del self._calls[call]
            call.ask_at_s = now + ASK_EVERY_S
            self._calls[call] = None
            self._ask(call)
        self._round = asyncio.get_running_loop().call_later(ASK_EVERY_S, self._ask_round) if self._calls else None

    def _ask(self, call: OpenCall) -> None:
        if call.is_asked:
            return
        call.is_asked = True
        # Never cancelled, not even with its call: pyvoy's loop complains about an answer that nobody waits for.
        question = asyncio.ensure_future(call.has_left())
        self._questions.add(question)
        question.add_done_callback(lambda question: self._on_answer(call, question))

    def _on_answer(self, call: OpenCall, question: asyncio.Future[bool]) -> None:
        self._questions.discard(question)
        call.is_asked = False
        if question.cancelled() or question.exception() is not None:
            return
        if question.result():
            call.end_early(EndedEarly.CLIENT_LEFT)
