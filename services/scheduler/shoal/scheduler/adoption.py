"""Taking over: what a new owner waits for before it schedules anything.

The executors report what they hold from owners before us; until all of them have, or a second has passed, requests and
questions are only collected. Then what is running is known, and what submitters ask for can be answered truly.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.errors import Cancelled
from shoal.core.messages import RequestKey, RunningBatch
from shoal.scheduler.actions import Action, refuse_full, refuse_new
from shoal.scheduler.alone import reserve_for_running
from shoal.scheduler.awaited import Awaited, AwaitedRequests
from shoal.scheduler.batches import OpenBatch
from shoal.scheduler.closing import close
from shoal.scheduler.events import Arrival, ExecutorReported, ReconcileAsked
from shoal.scheduler.outcomes import ASK_AGE_NS
from shoal.scheduler.reconcile import answer_again
from shoal.scheduler.state import State

#: The longest that executors are waited for.
ADOPTION_NS = 1_000_000_000
#: One that has not reported until then (user code may keep it from that) may still read the inputs of requests that
#: nobody else knows of; no submitter is told that they are closed for this long. Those that never report are of another
#: release and hold nothing that we could know of.
UNREPORTED_NS = 60_000_000_000


class Adoption:
    """What has come in since we own the models, and who has not reported yet."""

    def __init__(self) -> None:
        self._waiting_for: set[str] | None = None
        self._reported: set[str] = set()
        self._requests = AwaitedRequests()
        self._cancelled: set[RequestKey] = set()
        #: Open requests, and closing ones, by submitter.
        self._asked: dict[str, tuple[dict[int, None], dict[int, None]]] = {}

    @property
    def unreported(self) -> set[str]:
        """Who is waited for."""
        return self._waiting_for or set()

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
        counters, closing = self._asked.setdefault(event.submitter, ({}, {}))
        counters.update(dict.fromkeys(event.counters))
        closing.update(dict.fromkeys(event.closing))

    def close(self) -> tuple[list[Awaited], set[RequestKey], list[ReconcileAsked]]:
        """What was collected: requests, keys to be cancelled, and questions to be answered. Each submitter's requests
        are in the order in which it made them: those that are sent again come after newer ones."""
        questions = [ReconcileAsked(who, tuple(asked), tuple(closing)) for who, (asked, closing) in self._asked.items()]
        return _in_order(self._requests.take_all()), self._cancelled, questions


def adopt(state: State, event: ExecutorReported, now: int) -> list[Action]:
    """Take over what an executor holds. Requests of it that were sent to us again meanwhile wait no longer: they are
    running, or their executor answers again from what it keeps."""
    executor, running, kept = event
    state.unreported.discard(executor)
    actions: list[Action] = []
    closing: list[RequestKey] = []
    for key in kept:
        entry = state.take_out(key)
        if entry is not None:
            actions += answer_again(state, key, executor, now)
            closing += [key] if entry.in_arena else []
        if not state.open.is_running(key):
            state.finished.add((key,), executor)
    for batch in running:
        _adopt_batch(state, executor, batch, now)
    return actions + close(state, closing)


def _adopt_batch(state: State, executor: str, batch: RunningBatch, now: int) -> None:
    epoch, batch_id, slot, keys, deaths = batch
    ref, instance = (epoch, batch_id), (executor, slot)
    if ref in state.open or state.open.was_revoked(ref):
        return
    for key in keys:
        state.take_out(key)
        state.awaited.remove(key)
    state.open.add(OpenBatch(ref, instance, keys, None, (), now, closing=keys, deaths=deaths))
    state.timers.ask("open batches", now + ASK_AGE_NS)
    pool = state.pool_of.get(instance)
    if pool is not None:
        pool.occupy(instance)
    if any(deaths):
        reserve_for_running(state, executor, ref, now)


def _in_order(collected: list[Awaited]) -> list[Awaited]:
    """Each submitter keeps its places among the others and fills them in the order of its counters."""
    by_submitter: dict[str, list[Awaited]] = {}
    for found in collected:
        by_submitter.setdefault(found.arrival.request.submitter, []).append(found)
    ordered = {who: iter(sorted(made, key=_counter)) for who, made in by_submitter.items()}
    return [next(ordered[found.arrival.request.submitter]) for found in collected]


def _counter(found: Awaited) -> int:
    return found.arrival.request.counter
