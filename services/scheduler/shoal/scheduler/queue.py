"""The queue of one model version: priority levels, each with its queue policy, and the clients' deadlines.

Order: level by level, the lowest number first; inside a level first come, first served, requests that a DELAY policy
has put back after all others. Requests that are queued again after their executor ended come before everything of
their level and have used up their policy's timeout.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from shoal.core.messages import InferRequest, RequestKey
from shoal.core.model_config import DynamicBatching, QueuePolicy
from shoal.scheduler.queued_request import QueuedRequest

#: The most requests that one model version may have waiting, whatever its queue policies say.
MODEL_LIMIT = 65_536

#: Entries of the expiry heap whose request has left are dropped when they outnumber the others.
_HEAP_SLACK = 64


class Expired(NamedTuple):
    """A request that waited too long: for its queue policy's `timeout`, or for its client's `deadline`."""

    entry: QueuedRequest
    limit: Literal["timeout", "deadline"]


class _Expiry(NamedTuple):
    at_ns: int
    order: int
    key: RequestKey
    limit: Literal["timeout", "deadline"]


class _Level:
    __slots__ = ("delayed", "live", "policy")

    def __init__(self, policy: QueuePolicy) -> None:
        self.policy = policy
        self.live: OrderedDict[RequestKey, QueuedRequest] = OrderedDict()
        self.delayed: OrderedDict[RequestKey, QueuedRequest] = OrderedDict()

    def __len__(self) -> int:
        return len(self.live) + len(self.delayed)


class PriorityQueue:
    """`push`, `push_front`, `remove` and `expire` are the doors of change. Times are nanoseconds of one clock."""

    def __init__(self, batching: DynamicBatching) -> None:
        self._batching = batching
        self._levels: dict[int, _Level] = {}
        self._timeouts: dict[RequestKey, int] = {}
        self._expiries: list[_Expiry] = []
        self._pushed = 0
        #: How many requests wait; a plain attribute because it is read several times per request.
        self.size = 0

    def __iter__(self) -> Iterator[QueuedRequest]:
        """Everything that waits, in order. The queue must not change meanwhile."""
        for level in self._levels.values():
            yield from level.live.values()
            yield from level.delayed.values()

    def __contains__(self, key: RequestKey) -> bool:
        return any(key in level.live or key in level.delayed for level in self._levels.values())

    @property
    def next_expiry_ns(self) -> int | None:
        """When the next request may have to leave; `expire` knows more then. None when nothing ever has to."""
        return self._expiries[0].at_ns if self._expiries else None

    def push(self, entry: QueuedRequest, now: int) -> bool:
        """Queue a request at the end of its level; False when that level, or the whole queue, is full."""
        level = self._level(self._priority(entry.request))
        policy = level.policy
        if (policy.max_queue_size and len(level) >= policy.max_queue_size) or self.size >= MODEL_LIMIT:
            return False
        level.live[entry.key] = entry
        self.size += 1
        if policy.default_timeout_us:
            self._timeouts[entry.key] = timeout_ns = now + _timeout_us(policy, entry.request) * 1000
            self._watch(timeout_ns, entry.key, "timeout")
        if entry.deadline_ns is not None:
            self._watch(entry.deadline_ns, entry.key, "deadline")
        return True

    def push_front(self, entries: Iterable[QueuedRequest]) -> None:
        """Queue requests again, in their order, before all others of their levels."""
        for entry in reversed(list(entries)):
            level = self._level(self._priority(entry.request))
            level.live[entry.key] = entry
            level.live.move_to_end(entry.key, last=False)
            self.size += 1
            if entry.deadline_ns is not None:
                self._watch(entry.deadline_ns, entry.key, "deadline")

    def remove(self, key: RequestKey) -> QueuedRequest | None:
        """Take a request out, wherever it is; None when it is not here."""
        for level in self._levels.values():
            entry = level.live.pop(key, None) or level.delayed.pop(key, None)
            if entry is not None:
                self.size -= 1
                self._timeouts.pop(key, None)
                return entry
        return None

    def is_last(self, entry: QueuedRequest) -> bool:
        """Whether a request just pushed is the last of all in the queue's order."""
        own = self._priority(entry.request)
        if self._levels[own].delayed:
            return False
        return all(number <= own or not len(level) for number, level in self._levels.items())

    def expire(self, now: int) -> tuple[list[Expired], bool]:
        """Take out what has waited too long; with it whether the order of the others changed (DELAY policy)."""
        refused: list[Expired] = []
        delayed: list[_Expiry] = []
        while self._expiries and self._expiries[0].at_ns <= now:
            expiry = heapq.heappop(self._expiries)
            if not self._is_current(expiry):
                continue
            if expiry.limit == "timeout" and self._level_of(expiry.key).policy.timeout_action == "DELAY":
                delayed.append(expiry)
                continue
            entry = self.remove(expiry.key)
            if entry is not None:
                refused.append(Expired(entry, expiry.limit))
        # Put back in the order in which they came, not in that of their timeouts.
        for expiry in sorted(delayed, key=lambda found: found.order):
            self._delay(expiry.key)
        return refused, bool(delayed)

    def _delay(self, key: RequestKey) -> None:
        if self._timeouts.pop(key, None) is None:
            return
        level = self._level_of(key)
        level.delayed[key] = level.live.pop(key)

    def _priority(self, request: InferRequest) -> int:
        levels = self._batching.priority_levels
        if not levels:
            return 0
        return request.priority if 0 < request.priority <= levels else self._batching.default_priority_level

    def _level(self, priority: int) -> _Level:
        level = self._levels.get(priority)
        if level is None:
            level = _Level(self._batching.queue_policy(priority))
            self._levels = dict(sorted((self._levels | {priority: level}).items()))
        return level

    def _level_of(self, key: RequestKey) -> _Level:
        return next(level for level in self._levels.values() if key in level.live or key in level.delayed)

    def _watch(self, at_ns: int, key: RequestKey, limit: Literal["timeout", "deadline"]) -> None:
        self._pushed += 1
        heapq.heappush(self._expiries, _Expiry(at_ns, self._pushed, key, limit))
        if len(self._expiries) > 4 * self.size + _HEAP_SLACK:
            self._expiries = [expiry for expiry in self._expiries if self._is_current(expiry)]
            heapq.heapify(self._expiries)

    def _is_current(self, expiry: _Expiry) -> bool:
        """Whether it is about a request that is still here, and not about an earlier stay of it."""
        if expiry.limit == "timeout":
            return self._timeouts.get(expiry.key) == expiry.at_ns
        return expiry.key in self


def _timeout_us(policy: QueuePolicy, request: InferRequest) -> int:
    default_us = policy.default_timeout_us
    if policy.allow_timeout_override and 0 < request.timeout_us < default_us:
        return request.timeout_us
    return default_us
