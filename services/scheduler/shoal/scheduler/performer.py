"""Performs what the core decided: messages on the bus, and the one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic_ns, time_ns

from shoal.bus import Bus
from shoal.core.answer_counts import AnswerCounts
from shoal.core.messages import V2, Batch, BatchItem, InferResponse, Timings
from shoal.scheduler.actions import (
    Action,
    Answer,
    CountAnswer,
    CountExecution,
    Dispatch,
    Fault,
    Refuse,
    SetTimer,
    Tell,
)
from shoal.telemetry.logs import get_logger

_log = get_logger("scheduler")


class Performer:
    """`on_timer` is called when the timer that the core set last has come; `counts` are of ensembles and their
    steps."""

    def __init__(self, bus: Bus, counts: AnswerCounts, on_timer: Callable[[], None]) -> None:
        self._bus = bus
        self._counts = counts
        self._on_timer = on_timer
        self._timer: asyncio.TimerHandle | None = None

    def perform(self, actions: Iterable[Action], epoch: int) -> None:
        """Do everything, in order. Messages leave at the end of the loop turn."""
        for action in actions:
            try:
                self._do(action, epoch)
            except Exception:
                # A message that cannot be sent is like one that was lost; what follows, the timer among it, is not.
                _log.exception("action failed", action=type(action).__name__)

    def cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _do(self, action: Action, epoch: int) -> None:
        if isinstance(action, Dispatch):
            self._dispatch(action, epoch)
        elif isinstance(action, Refuse):
            self._refuse(action)
        elif isinstance(action, SetTimer):
            self._set_timer(action.at_ns)
        elif isinstance(action, Tell):
            self._bus.send(action.to, action.message)
        elif isinstance(action, Answer):
            self._bus.send(action.to, action.message, action.buffers)
        elif isinstance(action, CountAnswer):
            self._counts.count_answer(action.key, action.response, action.elapsed_ns, is_ensemble=action.is_ensemble)
        elif isinstance(action, CountExecution):
            self._counts.count_execution(action.key, action.batch_size, action.timings, time_ns() // 1_000_000)
        else:
            _log_fault(action)

    def _dispatch(self, action: Dispatch, epoch: int) -> None:
        executor, slot, batch_id, reason, members = action
        items: list[BatchItem] = []
        buffers: list[memoryview] = []
        for _, part, queue_us, deaths in members:
            header, payload = part.header, part.payload
            items.append(BatchItem(len(header), len(payload), queue_us, deaths))
            buffers += (header, payload)
        self._bus.send(executor, Batch(V2, epoch, batch_id, slot, reason, tuple(items)), buffers)

    def _refuse(self, action: Refuse) -> None:
        (submitter, counter), error, queue_ns, executed = action
        timings = Timings(queue_ns, 0, 0, 0)
        self._bus.send(submitter, InferResponse(V2, counter, 0, True, executed, error, (), {}, timings, False))

    def _set_timer(self, at_ns: int) -> None:
        self.cancel_timer()
        # The loop's timers may be a little early, by its clock's resolution: the core asks again then.
        delay_s = max(0.0, (at_ns - monotonic_ns()) / 1e9)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._on_timer)


def _log_fault(fault: Fault) -> None:
    try:
        raise fault.error
    except Exception:  # raised for its trace alone
        _log.exception("event failed", kind=fault.event)
