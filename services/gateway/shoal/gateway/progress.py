"""How far a request with several responses has come: which response is next, and whose. Pure.

The first response decides who answers: what another process gives, which had the request before or has it by mistake,
is never mixed in. What comes twice is dropped, and what comes too early too: it is sent again, after what is missing.
"""

from __future__ import annotations

from enum import Enum, auto

from shoal.core.messages import OUT_OF_ORDER


class Arrival(Enum):
    """What a response is: the NEXT one, one that came BEFORE, one AHEAD of another that is missing, or OTHERS'."""

    NEXT = auto()
    BEFORE = auto()
    AHEAD = auto()
    OTHERS = auto()


class Progress:
    """Of one request, from its first response on. `by` gives the responses: an executor, or (`is_relayed`) a scheduler
    that has steps of an ensemble executed. `expected` is the index of the next one, `taken` of the last one that its
    client was given, -1 before; `moved_at` is when either changed, `asked_at` when `by` was asked for more."""

    __slots__ = ("asked_at", "by", "expected", "is_relayed", "moved_at", "taken")

    def __init__(self, by: str, is_relayed: bool, now: float) -> None:
        self.by = by
        self.is_relayed = is_relayed
        self.expected = 0
        self.taken = -1
        self.moved_at = now
        self.asked_at = now

    def arrived(self, sender: str, index: int, now: float) -> Arrival:
        """Judge a response; the NEXT one is counted."""
        if sender != self.by:
            return Arrival.OTHERS
        if index in (self.expected, OUT_OF_ORDER):
            self.expected += 1
            self.moved_at = now
            return Arrival.NEXT
        return Arrival.BEFORE if index < self.expected else Arrival.AHEAD

    def is_quiet(self, now: float, for_s: float) -> bool:
        """Whether the client has all that came, and nothing more has come for this long, nor was it asked for."""
        return self.taken == self.expected - 1 and now - max(self.moved_at, self.asked_at) >= for_s
