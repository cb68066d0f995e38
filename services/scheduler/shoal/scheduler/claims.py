"""What the tensors of ensembles keep from being given back: blocks of executors, the credit of streams, bytes here.

A claim lives as long as it has users; who stores a tensor, executes with it or was answered with it is one of each of
its claims. With the last user it is over, once and for all, and whoever lent the thing is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Block(NamedTuple):
    """Outputs in the arena of an executor, which frees them when we release them."""

    owner: str
    generation: int


class Stream:
    """The responses of one of our requests (`counter`), given by the process `answerer`. `taken`: every one up to this
    index is done with, which is told to the answerer: it gives only so many ahead."""

    __slots__ = ("_done", "answerer", "counter", "taken")

    def __init__(self, answerer: str, counter: int) -> None:
        self.answerer = answerer
        self.counter = counter
        self.taken = -1
        self._done: set[int] = set()

    def finish(self, index: int) -> bool:
        """A response, and all that was made of it, is done with. Whether `taken` has grown."""
        before = self.taken
        self._done.add(index)
        while self.taken + 1 in self._done:
            self.taken += 1
            self._done.discard(self.taken)
        return self.taken > before


class Credit(NamedTuple):
    """One response of a stream."""

    stream: Stream
    number: int


class Bytes(NamedTuple):
    """Bytes that came in a message and are kept here."""

    nbytes: int


Thing = Block | Credit | Bytes


class Claim:
    """A thing and how many use it. Only `Claims` changes it."""

    __slots__ = ("thing", "users")

    def __init__(self, thing: Thing) -> None:
        self.thing = thing
        self.users = 1


class Claims:
    """All claims that are alive. `begin`, `hold` and `drop` are the doors of change; `nbytes` are those of all
    `Bytes`."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._blocks: set[Block] = set()
        self._over: list[Block | Credit] = []

    def begin(self, thing: Thing) -> Claim:
        """A new claim, whose one user is the caller. A block must not be claimed already."""
        if isinstance(thing, Block):
            self._blocks.add(thing)
        elif isinstance(thing, Bytes):
            self.nbytes += thing.nbytes
        return Claim(thing)

    def hold(self, claims: Iterable[Claim]) -> None:
        """One more user of each."""
        for claim in claims:
            claim.users += 1

    def drop(self, claims: Iterable[Claim]) -> None:
        """One user less of each."""
        for claim in claims:
            claim.users -= 1
            if not claim.users:
                self._end(claim.thing)

    def has(self, block: Block) -> bool:
        """Whether somebody uses this block."""
        return block in self._blocks

    @property
    def has_news(self) -> bool:
        """Whether things are over that `take_over` has not given."""
        return bool(self._over)

    def take_over(self) -> list[Block | Credit]:
        """The things that are over since this was asked last."""
        over, self._over = self._over, []
        return over

    def _end(self, thing: Thing) -> None:
        if isinstance(thing, Bytes):
            self.nbytes -= thing.nbytes
            return
        if isinstance(thing, Block):
            self._blocks.discard(thing)
        self._over.append(thing)
