"""One request between its acceptance and its answer, and what can be done about it."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from shoal.core.errors import ShoalError
from shoal.gateway.normalize import Checked
from shoal.gateway.progress import Progress
from shoal.memory import Packed


class Owner(NamedTuple):
    """The scheduler that owns the models: `links` grows when it reconnected or lost messages."""

    incarnation: str
    epoch: int
    links: int


class OpenRequest:
    """One request until its answer. `sent_to` is empty while it is held, `is_stale` while it is checked again;
    `losses` counts how often it did not arrive, `deaths` are the causes for which executions of it ended with their
    executors; `stale_since` is the time of its first refusal as stale. `packed` are its inputs as they travel, however
    often; `is_closed`: nobody reads them, says the scheduler that was told or asked of it last, since then. `progress`
    is None until the first of several responses is here; `missed_at` is when one was last found missing."""

    __slots__ = (
        "checked",
        "counter",
        "deaths",
        "is_closed",
        "is_stale",
        "losses",
        "missed_at",
        "opened_at",
        "packed",
        "progress",
        "sent_to",
        "stale_since",
    )

    def __init__(self, counter: int, checked: Checked, packed: Packed, opened_at: float) -> None:
        self.counter = counter
        self.checked = checked
        self.packed = packed
        self.opened_at = opened_at
        self.is_closed = False
        self.sent_to = ""
        self.is_stale = False
        self.stale_since: float | None = None
        self.losses = 0
        self.deaths: tuple[str, ...] = ()
        self.progress: Progress | None = None
        self.missed_at = -inf

    @property
    def answering(self) -> str:
        """The executor that has given some responses and is to give the others; empty for any other request. With it
        alone this request has to do from then on: it is never sent again."""
        progress = self.progress
        return "" if progress is None or progress.is_relayed else progress.by


class Send(NamedTuple):
    """Send this request to its `sent_to`."""

    request: OpenRequest


class Ask(NamedTuple):
    """Ask the owner which of these it does not have; of `closing` only the inputs are kept here."""

    to: str
    counters: tuple[int, ...]
    closing: tuple[int, ...]


class Withdraw(NamedTuple):
    """Tell the scheduler, or who else answers it, that nobody waits for this request any more."""

    to: str
    counter: int


class Repeat(NamedTuple):
    """Have the responses to this request that were not taken sent again."""

    to: str
    counter: int


class Confirm(NamedTuple):
    """Tell who sent it that the response with this index, and all before it, need not be kept."""

    to: str
    counter: int
    up_to: int


class Recheck(NamedTuple):
    """Check this request against the generation that is live now, then `rechecked`."""

    request: OpenRequest


class Fail(NamedTuple):
    """Answer this request with an error; it is no longer open."""

    request: OpenRequest
    error: ShoalError


class Free(NamedTuple):
    """Free the block of inputs with this generation: nobody reads it."""

    generation: int


Action = Send | Ask | Withdraw | Repeat | Confirm | Recheck | Fail | Free
