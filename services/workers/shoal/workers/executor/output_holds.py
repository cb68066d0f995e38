"""Who still has to release which block of outputs, and when to ask. Pure; times are seconds of any monotonic clock.

A block is freed when its holder releases it or has left, and never because room is wanted: as long as a holder may be
reading, what is not released cannot be given to anybody else.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from shoal.core.messages import RequestKey
from shoal.workers.executor.answers import KEEP_S

#: A block that was not released for this long is asked after, in case the answer or its release was lost.
ASK_AFTER_S = 10.0
#: How often a holder is asked.
ASK_EVERY_S = 5.0


class Hold(NamedTuple):
    """A block by its generation, the request whose outputs it has, and since when it is held."""

    generation: int
    key: RequestKey
    since: float


class Due(NamedTuple):
    """What is to be done now: the generations to ask each holder for, and holds that ended because the holder left."""

    questions: dict[str, tuple[int, ...]]
    ended: list[Hold]


class OutputHolds:
    """The blocks of one arena that holders have; a hold that a method returns is over and its block is to be freed."""

    def __init__(self, ask_after_s: float = ASK_AFTER_S, ask_every_s: float = ASK_EVERY_S) -> None:
        self._ask_after_s = ask_after_s
        self._ask_every_s = ask_every_s
        #: By holder, then by generation, oldest first.
        self._holds: dict[str, dict[int, Hold]] = {}
        self._quiet_until: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._holds)

    def hold(self, holder: str, generation: int, key: RequestKey, now: float) -> None:
        """`holder` may read this block from now on."""
        self._holds.setdefault(holder, {})[generation] = Hold(generation, key, now)

    def release(self, holder: str, generations: Iterable[int]) -> list[Hold]:
        """The holder does not use these; those that it does not hold (any more) are passed over."""
        held = self._holds.get(holder)
        if held is None:
            return []
        ended = [hold for generation in generations if (hold := held.pop(generation, None)) is not None]
        if not held:
            self._forget(holder)
        return ended

    def leave(self, holder: str) -> list[Hold]:
        """The holder is gone; all of its holds end."""
        ended = list(self._holds.get(holder, {}).values())
        self._forget(holder)
        return ended

    def postpone(self, now: float, holder: str | None = None) -> None:
        """Ask this holder, or all, only after the usual time again: a link was mended, and the reconciliation that
        brings lost answers once more has to come before the question whether anybody wants them.

        Not for ever where links are mended again and again: what is held as long as answers are kept is asked after.
        """
        for who in self._holds if holder is None else self._holds.keys() & {holder}:
            oldest = next(iter(self._holds[who].values()))
            until = min(now + self._ask_after_s, oldest.since + KEEP_S)
            self._quiet_until[who] = max(until, self._quiet_until.get(who, until))

    def due(self, now: float, present: Container[str]) -> Due:
        """Whom to ask for what has been held too long. A holder that is not `present` by then left before we heard of
        it, or was never heard at all: it has no use for its blocks."""
        due = Due({}, [])
        for holder, held in list(self._holds.items()):
            if now < self._quiet_until.get(holder, now):
                continue
            generations = tuple(g for g, hold in held.items() if now - hold.since >= self._ask_after_s)
            if generations and holder in present:
                self._quiet_until[holder] = now + self._ask_every_s
                due.questions[holder] = generations
            elif generations:
                due.ended.extend(self.leave(holder))
        return due

    def _forget(self, holder: str) -> None:
        self._holds.pop(holder, None)
        self._quiet_until.pop(holder, None)
