"""Notices that a model is asked for more than it gives, and says how many requests may be open then. Pure.

A queue in front of a model is no sign of overload: thousands of patient clients, each with one request, are served one
after another, as Triton serves them. What cannot go on is a queue that *keeps growing*. So as long as about as many
requests end as arrive, and in every burst that is over soon, nothing is limited here.

Overload is: for 0.4 s on end half as many again arrive as end (or for 4 s on end a tenth more), the model does answer
meanwhile (a server that recovers from a fault owes late answers, no refusals), many requests wait, and they wait
several times as long as is normal. Then the limit is Little's law, open = throughput x time: as many requests as the
model answers within one and a half times its normal time. It follows the throughput ten times a second. What waits
beyond it is refused at once, the youngest first, so that the old backlog does not make those late that come now. The
limit goes when for half a second no more arrive than the model has answered at its best lately.

The normal time is a moving average over times without growth: what this model usually takes under its usual load.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from typing import NamedTuple

#: How long counts are gathered, and how much more must arrive than end, to be called growth.
_FAST_INTERVAL_S, _FAST_RATIO = 0.1, 1.5
_SLOW_INTERVAL_S, _SLOW_RATIO = 1.0, 1.1
#: Successive intervals with growth that make an overload, and the fast ones that are looked at for its end.
_GROWING_INTERVALS = 4
_CALM_INTERVALS = 5
#: What is left after a fast interval of the belief in the best throughput of an overload.
_CAPACITY_DECAY = 0.98
#: Fewer open requests are no overload, however long they take.
_MANY = 64
#: How many times the normal time requests wait in an overload at least, and how many times they may in the end.
_LATE = 3.0
_SLACK = 1.5
#: One that is executed and one that waits: less would leave the model idle between two.
_LIMIT_MIN = 2
#: Weights of a new interval in the moving averages.
_THROUGHPUT_WEIGHT = 0.3
_NORMAL_WEIGHT = 0.1


class _Interval(NamedTuple):
    """What an interval was like. `is_balanced`: about as many ended as arrived."""

    length_s: float
    arrived: int
    is_balanced: bool


class _Trend:
    """Arrivals and ends by intervals. `growing` counts the last successive intervals with growth, `due_at` is when the
    interval is over."""

    __slots__ = ("_arrived", "_begun_at", "_ended", "_interval_s", "_ratio", "due_at", "growing")

    def __init__(self, interval_s: float, ratio: float, now: float) -> None:
        self._interval_s = interval_s
        self._ratio = ratio
        self._begun_at = now
        self.due_at = now + interval_s
        self._arrived = self._ended = 0
        self.growing = 0

    def arrive(self) -> None:
        self._arrived += 1

    def end(self) -> None:
        self._ended += 1

    def roll(self, now: float) -> _Interval | None:
        """Close the interval if it is over; None while it is not."""
        if now < self.due_at:
            return None
        length_s = now - self._begun_at
        # After a pause the interval was long, and what happened in it was little.
        is_long = length_s >= 2 * self._interval_s
        is_growing = not is_long and 0 < self._ended * self._ratio <= self._arrived
        self.growing = self.growing + 1 if is_growing else 0
        over = _Interval(length_s, self._arrived, is_long or self._arrived <= self._ended * _SLOW_RATIO)
        self._begun_at = now
        self.due_at = now + self._interval_s
        self._arrived = self._ended = 0
        return over


class Flow:
    """The requests for one model in one gateway process. Times are readings of one monotonic clock, in seconds.

    A request arrives, is executed (`begin`, `end`) unless something is wrong with it, and leaves.
    """

    __slots__ = (
        "_answers",
        "_answers_before",
        "_capacity",
        "_executions",
        "_fast",
        "_fastest_s",
        "_last_execution",
        "_lately",
        "_normal_s",
        "_slow",
        "_spent_s",
        "_throughput",
        "limit",
        "open",
    )

    def __init__(self, now: float) -> None:
        #: How many requests may be open; None: as many as there are.
        self.limit: int | None = None
        self.open = 0
        self._fast = _Trend(_FAST_INTERVAL_S, _FAST_RATIO, now)
        self._slow = _Trend(_SLOW_INTERVAL_S, _SLOW_RATIO, now)
        #: When each execution began, in their order.
        self._executions: dict[int, float] = {}
        self._last_execution = 0
        #: In the slow interval: answers, those until the fast one began, and the seconds that they took.
        self._answers = self._answers_before = 0
        self._spent_s = 0.0
        #: Answers per second: on average lately, and at best lately in the overload that is on.
        self._throughput: float | None = None
        self._capacity = 0.0
        self._lately: deque[_Interval] = deque(maxlen=_CALM_INTERVALS)
        self._normal_s: float | None = None
        self._fastest_s: float | None = None

    def arrive(self) -> bool:
        """Count a request in; False, and nothing is to follow, when it has to be refused."""
        self._fast.arrive()
        self._slow.arrive()
        if self.limit is not None and self.open >= self.limit:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        self.open -= 1
        self._fast.end()
        self._slow.end()

    def begin(self, now: float) -> int:
        """The number of a new execution; `end` must follow."""
        self._last_execution += 1
        self._executions[self._last_execution] = now
        return self._last_execution

    def end(self, execution: int, now: float, is_answered: bool) -> None:
        """An execution is over. Refusals and errors say nothing about how long an answer takes."""
        spent_s = now - self._executions.pop(execution)
        if is_answered:
            self._answers += 1
            self._spent_s += spent_s
            self._fastest_s = spent_s if self._fastest_s is None else min(self._fastest_s, spent_s)

    def is_due(self, now: float) -> bool:
        """Whether it is time to `judge`; to be asked at every arrival."""
        return now >= self._fast.due_at

    def judge(self, now: float) -> list[int]:
        """Adapt the limit to what has happened. The executions that should be given up, with all that waits for them:
        only when an overload begins."""
        interval = self._fast.roll(now)
        if interval is None:
            return []
        self._learn(interval, self._slow.roll(now))
        if self.limit is None:
            return self._shed() if self._is_overloaded() else []
        self.limit = None if self._is_over() else self._limit()
        return []

    def _learn(self, fast: _Interval, slow: _Interval | None) -> None:
        """Take over what an interval has shown, and perhaps a slow one."""
        self._lately.append(fast)
        rate = (self._answers - self._answers_before) / fast.length_s
        self._answers_before = self._answers
        before = self._throughput
        self._throughput = rate if before is None else before + (rate - before) * _THROUGHPUT_WEIGHT
        self._capacity = max(self._throughput, self._capacity * _CAPACITY_DECAY)
        if slow is None:
            return
        if self._answers and slow.is_balanced and self.limit is None:
            mean_s = self._spent_s / self._answers
            normal_s = self._normal_s
            self._normal_s = mean_s if normal_s is None else normal_s + (mean_s - normal_s) * _NORMAL_WEIGHT
        self._answers = self._answers_before = 0
        self._spent_s = 0.0

    def _is_overloaded(self) -> bool:
        if self.open < _MANY or max(self._fast.growing, self._slow.growing) < _GROWING_INTERVALS:
            return False
        return self.open >= (self._throughput or 0.0) * self._usual_s() * _LATE

    def _is_over(self) -> bool:
        """Whether the model could have answered whatever arrived lately."""
        lately = self._lately
        lasted_s = sum(interval.length_s for interval in lately)
        arrived = sum(interval.arrived for interval in lately)
        return lasted_s >= _CALM_INTERVALS * _FAST_INTERVAL_S and arrived <= self._capacity * lasted_s

    def _usual_s(self) -> float:
        """The normal time; of a model that was overloaded from the start, what the fastest answer took."""
        return self._normal_s if self._normal_s is not None else self._fastest_s or math.inf

    def _limit(self) -> int:
        return max(_LIMIT_MIN, math.ceil((self._throughput or 0.0) * self._usual_s() * _SLACK))

    def _shed(self) -> list[int]:
        self.limit = self._limit()
        self._capacity = self._throughput or 0.0
        # The oldest are executed now, or will be next.
        return list(islice(self._executions, self.limit, None))
