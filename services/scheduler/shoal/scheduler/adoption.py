"""Taking over: what a new owner waits for before it schedules anything.

The executors report what they hold from owners before us; until all of them have, or a second has passed, requests and
questions are only collected. Then what is running is known, and what submitters ask for can be answered truly.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.errors import Cancelled
from shoal.core.messages import RequestKey
from shoal.scheduler.actions import Action, refuse_full, refuse_new
from shoal.scheduler.awaited import Awaited, AwaitedRequests
from shoal.scheduler.batches import OpenBatch
from shoal.scheduler.events import Arrival, ExecutorReported, ReconcileAsked
from shoal.scheduler.outcomes import ASK_AGE_NS
from shoal.scheduler.reconcile import resend
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State

#: The longest that executors are waited for.
ADOPTION_NS = 1_000_000_000


class Adoption:
    """What has come in since we own the models, and who has not reported yet."""

    def __init__(self) -> None:
        self._waiting_for: set[str] | None = None
        self._reported: set[str] = set()
        self._requests = AwaitedRequests()
        self._cancelled: set[RequestKey] = set()
        self._asked: dict[str, dict[int, None]] = {}

    @property
    def is_complete(self) -> bool:
        return self._waiting_for is not None and not self._waiting_for

    @property
    def request_count(self) -> int:
        return len(self._requests)

    def begin(self, executors: Iterable[str]) -> None:
        """Wait for the reports of these."""
        self._waiting_for = set(executors) - self._reported

    def reported(self, executor: str) -> None:
        """An executor has reported, or is gone."""
        self._reported.add(executor)
        if self._waiting_for is not None:
            self._waiting_for.discard(executor)

    def collect(self, arrivals: Iterable[Arrival], now: int) -> list[Action]:
        refused: list[Action] = []
        for arrival in arrivals:
            key = arrival.request.key
            if key not in self._requests and not self._requests.add(key, arrival, now):
                refused.append(refuse_full(arrival.request))
        return refused

    def cancel(self, keys: Iterable[RequestKey]) -> list[Action]:
        """Drop what was collected; the rest may be running somewhere and is remembered, see `close`."""
        refused: list[Action] = []
        for key in keys:
            if self._requests.remove(key) is not None:
                refused.append(refuse_new(key, Cancelled("")))
            else:
                self._cancelled.add(key)
        return refused

    def forget(self, submitter: str) -> None:
        """A submitter is gone: nobody waits for its requests."""
        for key in self._requests.waiting():
            if key[0] == submitter:
                self._requests.remove(key)
        self._asked.pop(submitter, None)

    def ask(self, event: ReconcileAsked) -> None:
        self._asked.setdefault(event.submitter, {}).update(dict.fromkeys(event.counters))

    def close(self) -> tuple[list[Awaited], set[RequestKey], list[ReconcileAsked]]:
        """What was collected: requests in their order, keys to be cancelled, and questions to be answered."""
        questions = [ReconcileAsked(submitter, tuple(counters)) for submitter, counters in self._asked.items()]
        return self._requests.take_all(), self._cancelled, questions


def adopt(state: State, event: ExecutorReported, now: int) -> list[Action]:
    """Take over what an executor holds. Requests of it that were sent to us again meanwhile wait no longer: they are
    running, or their executor answers again from what it keeps."""
    executor, running, kept = event
    actions: list[Action] = []
    for key in kept:
        if _take_out(state, key):
            actions.append(resend(state, key, executor))
        if not state.open.is_running(key):
            state.finished.add((key,), executor)
    for epoch, batch_id, slot, keys, _ in running:
        ref = (epoch, batch_id)
        if ref in state.open or state.open.was_revoked(ref):
            continue
        for key in keys:
            _take_out(state, key)
        instance = (executor, slot)
        state.open.add(OpenBatch(ref, instance, keys, None, (), now))
        state.timers.ask("open batches", now + ASK_AGE_NS)
        pool = state.pool_of.get(instance)
        if pool is not None:
            pool.occupy(instance)
    return actions


def _take_out(state: State, key: RequestKey) -> bool:
    served: ServedVersion | None = state.queued.pop(key, None)
    if served is not None:
        served.scheduler.remove(key)
    return served is not None
