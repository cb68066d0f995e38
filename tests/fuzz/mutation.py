"""Blind changes of recorded bytes, for volume: quick, and the same for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

_BYTES = bytes((0, 1, 0x20, 0x22, 0x2D, 0x30, 0x5B, 0x7B, 0x7F, 0x80, 0xC3, 0xFF))
_NUMBER = re.compile(rb"[0-9]+")
_MOST_CHANGES = 4


class Mutator:
    """`samples` are also what is spliced in; `tokens` what is put in as it is."""

    def __init__(self, dice: random.Random, samples: Sequence[bytes], tokens: Sequence[bytes]) -> None:
        self._dice = dice
        self._samples = samples
        self._tokens = tokens
        self._ways = (
            self._flip,
            self._set,
            self._cut,
            self._double,
            self._insert,
            self._number,
            self._end,
            self._splice,
        )

    def mutate(self, data: bytes) -> bytes:
        """The bytes with one to four changes."""
        for _ in range(self._dice.randint(1, _MOST_CHANGES)):
            data = self._dice.choice(self._ways)(data) if data else self._dice.choice(self._tokens)
        return data

    def _flip(self, data: bytes) -> bytes:
        at = self._dice.randrange(len(data))
        return data[:at] + bytes((data[at] ^ 1 << self._dice.randrange(8),)) + data[at + 1 :]

    def _set(self, data: bytes) -> bytes:
        at = self._dice.randrange(len(data))
        return data[:at] + bytes((self._dice.choice(_BYTES),)) + data[at + 1 :]

    def _cut(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + data[end:]

    def _double(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:end] + data[start:end] * self._dice.choice((1, 1, 3, 50)) + data[end:]

    def _insert(self, data: bytes) -> bytes:
        at = self._dice.randint(0, len(data))
        return data[:at] + self._dice.choice(self._tokens) + data[at:]

    def _number(self, data: bytes) -> bytes:
        found = list(_NUMBER.finditer(data, 0, 2000))
        if not found:
            return self._set(data)
        chosen = self._dice.choice(found)
        return data[: chosen.start()] + self._dice.choice(self._tokens) + data[chosen.end() :]

    def _end(self, data: bytes) -> bytes:
        return data[: self._dice.randrange(len(data))]

    def _splice(self, data: bytes) -> bytes:
        other = self._dice.choice(self._samples)
        return data[: self._dice.randrange(len(data))] + other[self._dice.randrange(len(other)) :]

    def _range(self, data: bytes) -> tuple[int, int]:
        start = self._dice.randrange(len(data))
        return start, min(len(data), start + self._dice.randint(1, 16))
