"""A model behind a gateway's `Flow` on virtual time: one instance, which executes request after request."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from shoal.gateway.overload import Flow

Action = Callable[[], None]


@dataclass
class Outcome:
    """What became of the requests that arrived in one phase: seconds from arrival to answer, and how many were refused
    at once and given up later."""

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    given_up: int = 0

    def percentile(self, percent: float) -> float:
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))]


class ServedFlow:
    """Requests take `service_s`. Nothing happens while `is_stalled`."""

    def __init__(self, service_s: float) -> None:
        self.now = 0.0
        self.flow = Flow(self.now)
        self.service_s = service_s
        self.is_stalled = False
        self._events: list[tuple[float, int, Action]] = []
        self._numbers = count()
        #: Executions in their order: when they arrived, and whom to tell.
        self._waiting: dict[int, tuple[float, Outcome, Action]] = {}
        self._is_busy = False

    def open_loop(self, rate: float, for_s: float, seed: int = 7) -> Outcome:
        """Poisson arrivals, whatever becomes of them."""
        outcome, end, draw = Outcome(), self.now + for_s, random.Random(seed)
        at = self.now
        while (at := at + draw.expovariate(rate)) < end:
            self._at(at, lambda: self._arrive(outcome, lambda: None))
        self.run(end)
        return outcome

    def closed_loop(self, clients: int, for_s: float, ramp_s: float = 0.0) -> Outcome:
        """Clients that each send a request when the one before is over; they come one after another."""
        outcome, end = Outcome(), self.now + for_s

        def send() -> None:
            if self.now < end:
                self._arrive(outcome, send)

        for number in range(clients):
            self._at(self.now + ramp_s * number / clients, send)
        self.run(end)
        return outcome

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = until

    def resume(self) -> None:
        self.is_stalled = False
        self._start()

    def _at(self, when: float, action: Action) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), action))

    def _arrive(self, outcome: Outcome, over: Action) -> None:
        is_in = self.flow.arrive()
        for execution in self.flow.judge(self.now):
            _, whose, its_over = self._waiting.pop(execution)
            whose.given_up += 1
            self.flow.end(execution, self.now, is_answered=False)
            self.flow.leave()
            its_over()
        if not is_in:
            outcome.refused += 1
            # A client that tries again at once would do so for ever at one moment.
            self._at(self.now + 0.01, over)
            return
        self._waiting[self.flow.begin(self.now)] = (self.now, outcome, over)
        self._start()

    def _start(self) -> None:
        if not self._is_busy and not self.is_stalled and self._waiting:
            self._is_busy = True
            execution, waiting = next(self._first())
            self._at(self.now + self.service_s, lambda: self._answer(execution, waiting))

    def _first(self) -> Iterator[tuple[int, tuple[float, Outcome, Action]]]:
        yield from self._waiting.items()

    def _answer(self, execution: int, waiting: tuple[float, Outcome, Action]) -> None:
        self._is_busy = False
        if execution in self._waiting:
            del self._waiting[execution]
            arrived_at, outcome, over = waiting
            outcome.latencies.append(self.now - arrived_at)
            self.flow.end(execution, self.now, is_answered=True)
            self.flow.leave()
            over()
        self._start()
