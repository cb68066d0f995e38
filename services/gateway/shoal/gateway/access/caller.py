"""Who a call comes from, as far as that matters: what exists for them, and how much they may ask for.

The caller belongs to the task that answers the call and to the tasks that it starts: everything that looks a model up
on the way sees only what the caller may see, without being told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from time import monotonic

from shoal.core.api_keys import ApiKey
from shoal.gateway.access.errors import KeyExhausted
from shoal.gateway.access.token_bucket import TokenBucket

#: When to come again if all of a key's requests are under way: nobody knows when one ends.
_BUSY_RETRY_S = 1.0
#: Verdicts on names are kept; names come from clients, so not without bound.
_NAMES_KEPT = 4096


class Caller:
    """An API key in use by this gateway process."""

    __slots__ = ("_bucket", "_open", "_seen", "key")

    def __init__(self, key: ApiKey, now: float, known_as: Caller | None = None) -> None:
        """`known_as`: the same key before its entry was changed; its open requests count on."""
        self.key = key
        self._seen: dict[str, bool] = {}
        #: In a list, since requests that were let in before a change of the entry leave after it.
        self._open: list[int] = [0] if known_as is None else known_as._open
        rate = key.requests_per_second
        self._bucket = None if rate is None else TokenBucket(rate, key.burst, now)

    def sees(self, model: str) -> bool:
        """Whether a model of this name exists for the caller."""
        verdict = self._seen.get(model)
        if verdict is None:
            if len(self._seen) >= _NAMES_KEPT:
                self._seen.clear()
            verdict = self._seen[model] = any(fnmatchcase(model, pattern) for pattern in self.key.models)
        return verdict

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request from its acceptance to its answer. Raises KeyExhausted when it is one too many."""
        self.enter(monotonic())
        try:
            yield
        finally:
            self.leave()

    def enter(self, now: float) -> None:
        """Count a request in, or raise KeyExhausted and count nothing. `leave` must follow."""
        key = self.key
        if key.concurrency is not None and self._open[0] >= key.concurrency:
            raise KeyExhausted(
                f"API key '{key.name}' has {self._open[0]} requests under way, the most it may have; try again later",
                _BUSY_RETRY_S,
            )
        wait_s = 0.0 if self._bucket is None else self._bucket.take(now)
        if wait_s > 0:
            raise KeyExhausted(
                f"API key '{key.name}' may send {key.requests_per_second:g} requests per second; "
                f"try again in {wait_s:.3f} s",
                wait_s,
            )
        self._open[0] += 1

    def leave(self) -> None:
        self._open[0] -= 1


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller | None:
    """The caller that this task works for; None where there are no keys, and in tasks of the gateway's own."""
    return _caller.get()


def work_for(caller: Caller | None) -> None:
    """From now on this task, and every task that it starts, works for this caller. To be set at the start of every
    call: a server may start the task of one call from within another."""
    _caller.set(caller)
