"""Who may claim ownership, and with which epoch. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgpack

#: A standby listens this long over a working link before it believes that a silent owner is gone.
LISTEN_BEFORE_CLAIM_S = 1.0
#: One that knows it listens for two beats, to hear of everybody whom the owner had: it takes over what they hold.
HEAR_BEFORE_CLAIM_S = 0.5

Action = Literal["claim", "keep", "lose", "wait"]


class Holder(NamedTuple):
    """The entry of an ownership key: the owner's incarnation, empty after a release, its epoch, and its seat."""

    owner: str
    epoch: int
    seat: str = ""


class Situation(NamedTuple):
    """What one candidate knows, who is `own` and sits in `seat`. `held_epoch`: the epoch that we own the key with, None
    as a standby. `holder` is the entry, None when the key was never written; `in_store`: whether the broker's store has
    it, which is not so after its loss. `connected_s`: how long our link has been up, None while it is down."""

    own: str
    seat: str
    held_epoch: int | None
    holder: Holder | None
    in_store: bool
    is_holder_alive: bool
    connected_s: float | None


def decide(situation: Situation) -> Action:
    """What to do now. An owner keeps, has lost, or claims again when the store was lost; a standby waits or claims."""
    own, seat, held_epoch, holder, in_store, is_holder_alive, connected_s = situation
    if connected_s is None:
        return "wait"
    if held_epoch is not None:
        if not in_store:
            return "claim"
        return "keep" if holder is not None and holder[:2] == (own, held_epoch) else "lose"
    if holder is None or holder.owner in ("", own):
        return "claim"
    if seat and holder.seat == seat:
        # It sat where we sit now; it may have been heard until a moment ago.
        return "claim" if connected_s >= HEAR_BEFORE_CLAIM_S else "wait"
    return "wait" if is_holder_alive or connected_s < LISTEN_BEFORE_CLAIM_S else "claim"


def next_epoch(previous: int, unix_ms: int) -> int:
    """Above every epoch before, also when the store, and with it the previous epoch, was lost."""
    return max(previous + 1, unix_ms)


def encode_holder(holder: Holder) -> bytes:
    return bytes(msgpack.packb(holder))


def decode_holder(value: bytes) -> Holder:
    return Holder._make(msgpack.unpackb(value, use_list=False))
