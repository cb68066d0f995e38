"""Fragments put together again, within bounds of bytes, age and number of senders.

One process sends the fragments of a bundle in one go and in order, so a sender has at most one bundle under way; a
gap or a new bundle means that the rest of the old one is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal.bus.frames import MAX_MESSAGE_NBYTES, Piece

#: Bundles under way may hold this much together: one of the largest, and as much again of others.
LIMIT_NBYTES = 2 * MAX_MESSAGE_NBYTES
#: Senders whose bundles are under way at one time.
LIMIT_COUNT = 1024
#: A bundle whose next fragment does not come within this time is given up: its sender died or lost its link.
LIMIT_AGE_S = 10.0


@dataclass(slots=True)
class _Underway:
    number: int
    total_nbytes: int
    pieces: list[memoryview]
    received: int
    heard_at: float


class Reassembler:
    """Takes fragments, gives whole bundles. `lost` counts bundles that will never be whole."""

    def __init__(
        self, limit_nbytes: int = LIMIT_NBYTES, limit_count: int = LIMIT_COUNT, limit_age_s: float = LIMIT_AGE_S
    ) -> None:
        self._limit_nbytes = limit_nbytes
        self._limit_count = limit_count
        self._limit_age_s = limit_age_s
        self._underway: dict[str, _Underway] = {}
        self._given_up: dict[str, int] = {}
        self._held_nbytes = 0
        self.lost = 0

    @property
    def held_nbytes(self) -> int:
        """Bytes set aside for bundles under way."""
        return self._held_nbytes

    def add(self, piece: Piece, now: float) -> bytes | None:
        """The whole bundle when this was its last piece; the caller owns it then."""
        underway = self._underway.get(piece.sender)
        if underway is not None and underway.number != piece.number:
            self._give_up(piece.sender, underway.number)
            underway = None
        if underway is None:
            underway = self._begin(piece, now)
            if underway is None:
                return None
        elif underway.received != piece.offset:
            self._give_up(piece.sender, underway.number)
            return None
        end = piece.offset + len(piece.data)
        underway.pieces.append(piece.data)
        underway.received = end
        underway.heard_at = now
        if end < piece.total_nbytes:
            return None
        self._drop(piece.sender)
        return b"".join(underway.pieces)

    def expire(self, now: float) -> None:
        """Give up the bundles whose next fragment is overdue."""
        for sender, underway in list(self._underway.items()):
            if now - underway.heard_at > self._limit_age_s:
                self._give_up(sender, underway.number)

    def _begin(self, piece: Piece, now: float) -> _Underway | None:
        if piece.offset > 0:
            if self._given_up.get(piece.sender) != piece.number:
                self._count_lost(piece.sender, piece.number)
            return None
        self.expire(now)
        if len(self._underway) >= self._limit_count or self._held_nbytes + piece.total_nbytes > self._limit_nbytes:
            self._count_lost(piece.sender, piece.number)
            return None
        underway = _Underway(piece.number, piece.total_nbytes, [], 0, now)
        self._underway[piece.sender] = underway
        self._held_nbytes += piece.total_nbytes
        return underway

    def _give_up(self, sender: str, number: int) -> None:
        self._drop(sender)
        self._count_lost(sender, number)

    def _count_lost(self, sender: str, number: int) -> None:
        """Count a bundle once, however many of its pieces still come."""
        self.lost += 1
        if len(self._given_up) >= self._limit_count:
            self._given_up.clear()
        self._given_up[sender] = number

    def _drop(self, sender: str) -> None:
        self._held_nbytes -= self._underway.pop(sender).total_nbytes
