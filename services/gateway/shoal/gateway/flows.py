"""The requests of every model in this gateway process, watched for overload: performs what `overload` decides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import monotonic
from typing import Any

from shoal.gateway.errors import Overloaded
from shoal.gateway.overload import Flow
from shoal.gateway.request import InferAnswer
from shoal.telemetry.logs import get_logger

_log = get_logger("gateway")


class _ModelFlow:
    """One model: its flow, and whom to cancel to give an execution up. `was_limited`: what the log knows."""

    __slots__ = ("flow", "given_up", "tasks", "was_limited")

    def __init__(self, now: float) -> None:
        self.flow = Flow(now)
        self.tasks: dict[int, asyncio.Task[Any]] = {}
        self.given_up: set[int] = set()
        self.was_limited = False


class Flows:
    """Models come in with their first execution, so that names which no model has leave nothing behind."""

    def __init__(self, *, is_limiting: bool = True) -> None:
        self._is_limiting = is_limiting
        self._flows: dict[str, _ModelFlow] = {}

    def arrive(self, model: str) -> Flow | None:
        """Count a request for this model in: `leave` of what comes back must follow; None: nothing is known of it yet.
        Raises Overloaded when there are too many."""
        known = self._flows.get(model)
        if known is None:
            return None
        flow = known.flow
        is_in = flow.arrive()
        now = monotonic()
        if flow.is_due(now):
            self._judge(model, known, now)
        if is_in:
            return flow
        raise _overloaded(model, flow.open)

    async def run(self, model: str, execution: Awaitable[InferAnswer]) -> InferAnswer:
        """Await an execution that may be given up. Raises what it raises, and Overloaded."""
        if not self._is_limiting:
            return await execution
        known = self._known(model)
        flow = known.flow
        task = asyncio.current_task()
        assert task is not None  # a coroutine that runs has a task
        number = flow.begin(monotonic())
        known.tasks[number] = task
        is_answered = False
        try:
            answer = await execution
            is_answered = True
            return answer
        except asyncio.CancelledError:
            if number not in known.given_up:
                raise
            task.uncancel()
            raise _overloaded(model, flow.open) from None
        finally:
            known.given_up.discard(number)
            del known.tasks[number]
            flow.end(number, monotonic(), is_answered)

    def observed(self, model: str) -> AbstractContextManager[None]:
        """Observe an execution that is not to be given up: it is over with the block, and answered when that does not
        end with an exception."""
        return _observed(self._known(model).flow) if self._is_limiting else nullcontext()

    def _known(self, model: str) -> _ModelFlow:
        known = self._flows.get(model)
        if known is None:
            known = self._flows[model] = _ModelFlow(monotonic())
        return known

    def _judge(self, model: str, known: _ModelFlow, now: float) -> None:
        given_up = [number for number in known.flow.judge(now) if number in known.tasks]
        for number in given_up:
            known.given_up.add(number)
            known.tasks[number].cancel()
        limit = known.flow.limit
        if (limit is not None) == known.was_limited:
            return
        known.was_limited = limit is not None
        if limit is None:
            _log.info("overload of a model ended", model=model)
        else:
            _log.warning("overload of a model began", model=model, limit=limit, given_up=len(given_up))


@contextmanager
def _observed(flow: Flow) -> Iterator[None]:
    number = flow.begin(monotonic())
    is_answered = False
    try:
        yield
        is_answered = True
    finally:
        flow.end(number, monotonic(), is_answered)


def _overloaded(model: str, open_requests: int) -> Overloaded:
    return Overloaded(
        f"model '{model}' is overloaded: more requests arrive than it answers, and {open_requests} are open in this "
        "gateway; try again later"
    )
