"""The requests that this gateway has taken on and not answered yet, and what to do about each.

A pure state machine: every event carries the time and returns the actions to perform, in order; whoever performs them
owns sockets and clocks (see `submit`). A request is *held* while nobody can take it (no owner, no link), and *sent*
otherwise. Every doubt about a sent one (a new owner, a reconnect on either side, age) ends in a question to the owner,
unless some of several responses are here already (`BegunRequests`).
Inputs in shared memory are freed when nobody reads them any more, which may be long after their request (`InputHolds`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from shoal.core.errors import ShoalError
from shoal.gateway import refusals
from shoal.gateway.begun_requests import BegunRequests
from shoal.gateway.deadlines import Deadlines
from shoal.gateway.input_holds import KEPT_LIMIT, InputHolds
from shoal.gateway.normalize import Checked
from shoal.gateway.open_request import (
    Action,
    Ask,
    Confirm,
    Fail,
    Free,
    OpenRequest,
    Owner,
    Recheck,
    Repeat,
    Send,
    Withdraw,
)
from shoal.gateway.progress import Arrival
from shoal.memory import Packed

#: How long requests wait for an owner or a link before they are refused.
HOLD_S = 10.0
#: From this long after the loss of the link new requests are refused at once: the client may try another gateway.
REFUSE_AFTER_S = 1.0
#: A request that waits this long is asked after, at most this often.
ASK_AGE_S = 5.0
ASK_INTERVAL_S = 1.0
#: How long after its deadline a request is given up here; the scheduler evicts it at the deadline.
DEADLINE_GRACE_S = 1.0
#: A request that was lost on its way this often and is lost once more is not lost by accident.
LOSS_LIMIT = 9
#: A missing response is asked for this often; those after it keep coming meanwhile.
MISSED_INTERVAL_S = 1.0


class Heard(NamedTuple):
    """What a response is to be done with: handed out for `request` if that is not None. `is_early`: it comes again, so
    that its memory must not be released."""

    request: OpenRequest | None
    is_early: bool
    actions: Sequence[Action]


class OpenRequests:
    """All times are readings of one monotonic clock, in seconds. The link counts as up at the start."""

    def __init__(self, now: float) -> None:
        self.owner: Owner | None = None
        self._open: dict[int, OpenRequest] = {}
        self._holds = InputHolds()
        self._last_counter = 0
        self._link_down_since: float | None = None
        #: Since when nobody could be asked or sent to; None while somebody can.
        self._adrift_since: float | None = now
        self._asked: Owner | None = None
        self._asked_at = now
        self._deadlines = Deadlines()
        self._begun = BegunRequests()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_adrift(self) -> bool:
        """Whether requests are held for want of a link or an owner."""
        return self._adrift_since is not None

    @property
    def kept(self) -> int:
        """How many requests are over whose inputs are kept."""
        return len(self._holds)

    def open(self, checked: Checked, packed: Packed, now: float) -> OpenRequest:
        """Take a request on: to be sent at once when its `sent_to` is set, held otherwise. Its block is freed by `Free`
        from now on.

        Raises Unavailable when its deadline has passed or the broker has been away too long, Overloaded when too many
        blocks are kept; the block stays the caller's then.
        """
        deadline_s = checked.call.deadline_s
        if deadline_s is not None and deadline_s <= now:
            raise refusals.too_late(checked.call.model)
        if self._link_down_since is not None and now - self._link_down_since > REFUSE_AFTER_S:
            raise refusals.no_broker(checked.call.model)
        if packed.block is not None and len(self._holds) >= KEPT_LIMIT:
            raise refusals.too_many_kept(len(self._holds))
        self._last_counter += 1
        request = OpenRequest(self._last_counter, checked, packed, now)
        self._open[request.counter] = request
        if deadline_s is not None:
            self._deadlines.watch(deadline_s + DEADLINE_GRACE_S, request.counter, self._open)
        self._address(request)
        return request

    def answered(self, sender: str, counter: int) -> tuple[OpenRequest | None, Sequence[Action]]:
        """Close a request for its only response; None for one that is not open (a second answer, or one given up), or
        that somebody else is answering. A scheduler that answers itself has no use for the inputs."""
        request = self._open.get(counter)
        if request is None:
            return None, self._free_kept(sender, (counter,))
        if request.progress is not None:
            return None, []
        request.is_closed = request.is_closed or request.sent_to == sender
        return request, self._end(request)

    def answered_in_part(self, sender: str, counter: int, index: int, final: bool, now: float) -> Heard:
        """Take one of several responses, in their order; the final one closes the request."""
        request = self._open.get(counter)
        arrival = Arrival.OTHERS if request is None else self._begun.arrived(request, sender, index, now)
        if request is None or arrival is Arrival.OTHERS:
            freed = self._free_kept(sender, (counter,)) if final else []
            return Heard(None, False, [*freed, Confirm(sender, counter, index) if final else Withdraw(sender, counter)])
        if arrival is Arrival.NEXT:
            return Heard(request, False, self._end_in_part(request, sender, index) if final else [])
        if arrival is Arrival.BEFORE:
            return Heard(None, False, self._confirmed(request))
        is_asked = now - request.missed_at < MISSED_INTERVAL_S
        if not is_asked:
            request.missed_at = now
        return Heard(None, True, [] if is_asked else [Repeat(sender, counter)])

    def taken(self, counter: int, index: int, now: float) -> list[Action]:
        """The client was given the response with this index."""
        request = self._open.get(counter)
        if request is None or request.progress is None:
            return []
        request.progress.taken = index
        request.progress.moved_at = now
        return self._confirmed(request)

    def process_ended(self, incarnation: str, cause: str, now: float) -> None:
        """An executor or a scheduler is gone; what it was answering fails."""
        self._begun.process_ended(incarnation, cause, now)

    def process_appeared(self, incarnation: str) -> None:
        """An executor or a scheduler is heard, for the first time or again."""
        self._begun.process_appeared(incarnation)

    def closed(self, sender: str, counters: Sequence[int]) -> list[Action]:
        """Nobody reads the inputs of these requests any more. Those of open ones stay until they end: with its answer
        lost, a request may have to be sent again."""
        for request in self._sent_to(sender, counters):
            request.is_closed = True
        return self._free_kept(sender, counters)

    def retried(self, sender: str, deaths: Iterable[tuple[int, tuple[str, ...]]]) -> None:
        """Executions of these requests ended with their executors: it is said whenever they are sent again."""
        for counter, causes in deaths:
            for request in self._sent_to(sender, (counter,)):
                if len(causes) > len(request.deaths):
                    request.deaths = causes

    def fail(self, counter: int, error: ShoalError) -> list[Action]:
        """Close a request with this error because it could not be sent."""
        request = self._open.get(counter)
        if request is None:
            return []
        request.sent_to = ""
        return self._fail(request, error)

    def give_up(self, counter: int, error: ShoalError) -> list[Action]:
        """Close a request with this error, whatever of it is still to come."""
        request = self._open.get(counter)
        return [] if request is None else self._withdrawn(request) + self._fail(request, error)

    def withdraw(self, counter: int) -> list[Action]:
        """Close a request whose client has left."""
        request = self._open.get(counter)
        if request is None:
            return []
        return self._withdrawn(request) + self._end(request)

    def close_all(self, error: ShoalError) -> list[Action]:
        """Close everything with this error."""
        return [action for request in list(self._open.values()) for action in self._fail(request, error)]

    def owner_is(self, owner: Owner | None, now: float) -> list[Action]:
        """The owner as the heartbeats show it now; to be told at every one, changed or not."""
        if owner == self.owner:
            return []
        self.owner = owner
        if owner is not None:
            self._begun.scheduler_is(owner.incarnation)
        return self._settle(now)

    def link_is(self, connected: bool, now: float) -> list[Action]:
        """The link to the broker was lost, or is there again (then anything may have been lost meanwhile)."""
        if connected:
            self._link_down_since = None
            self._asked = None
        elif self._link_down_since is None:
            self._link_down_since = now
        return self._settle(now)

    def not_owned(self, sender: str, counters: Sequence[int], now: float) -> list[Action]:
        """A scheduler does not own the models (any more): its requests are held until the owner is known."""
        actions = self._free_kept(sender, counters)
        for request in self._not_begun(sender, counters):
            request.sent_to = ""
        if self.owner is not None and self.owner.incarnation == sender:
            self.owner = None
        return actions + self._settle(now)

    def stale(self, sender: str, counters: Sequence[int], now: float) -> list[Action]:
        """These requests were checked against a generation that is not live: they are held until `rechecked`, or given
        up when that has not helped for long."""
        actions = self._free_kept(sender, counters)
        for request in self._not_begun(sender, counters):
            request.sent_to = ""
            if request.stale_since is None:
                request.stale_since = now
            if now - request.stale_since >= HOLD_S:
                actions += self._fail(request, refusals.stale_too_long(request, HOLD_S))
                continue
            request.is_stale = True
            actions.append(Recheck(request))
        return actions

    def rechecked(self, request: OpenRequest, checked: Checked | ShoalError) -> list[Action]:
        """A stale request was checked again: send it, or answer it with what was found."""
        if request.counter not in self._open or request.progress is not None:
            return []
        if isinstance(checked, ShoalError):
            return self._fail(request, checked)
        request.checked = checked
        request.is_stale = False
        return [Send(request)] if self._address(request) else []

    def reconciled(
        self, sender: str, epoch: int, unknown: Sequence[int], lost: Iterable[int], now: float
    ) -> list[Action]:
        """The answer to `Ask`. Dropped when it comes from anyone but the owner of the latest epoch."""
        if self.owner is None or sender != self.owner.incarnation or epoch < self.owner.epoch:
            return []
        actions = self._free_kept(sender, unknown)
        for request in self._sent_to(sender, unknown):
            if request.progress is None:
                actions += self._send_again(request)
            elif request.progress.is_relayed:
                actions += self._interrupt(request, "the scheduler that answered it was replaced")
        for request in self._not_begun(sender, lost):
            actions += self._fail(request, refusals.answer_lost(request))
        return actions

    def tick(self, now: float) -> list[Action]:
        """Let time pass; to be called every tenth of a second or so."""
        actions = self._give_up_late(now)
        if self._begun:
            for request, cause in self._begun.doomed(now):
                actions += self._interrupt(request, f"the process that gave them has ended ({cause})")
            actions += self._begun.quiet(now)
        if self._adrift_since is not None:
            return actions + self._give_up_adrift(now, self._adrift_since)
        if self.owner is not None and now - self._asked_at >= ASK_INTERVAL_S:
            old = []
            for request in self._open.values():
                if now - request.opened_at < ASK_AGE_S:
                    break
                if request.sent_to and not request.answering:
                    old.append(request)
            actions += self._ask(self.owner, old, now - ASK_AGE_S, now)
        return actions

    def _settle(self, now: float) -> list[Action]:
        """After a change of owner or link: send what is held, and ask after what was sent to somebody else or before a
        gap in somebody's hearing."""
        owner = self.owner
        if owner is None or self._link_down_since is not None:
            self._adrift_since = now if self._adrift_since is None else self._adrift_since
            return []
        self._adrift_since = None
        held = [r for r in self._open.values() if not r.sent_to and not r.is_stale and r.progress is None]
        sent = [request for request in self._open.values() if request.sent_to]
        actions = [] if owner == self._asked else self._ask(owner, sent, inf, now)
        self._asked = owner
        for request in held:
            self._address(request)
            actions.append(Send(request))
        return actions

    def _ask(self, owner: Owner, requests: list[OpenRequest], kept_since: float, now: float) -> list[Action]:
        """Ask after these requests, and after the kept inputs of those that were opened by `kept_since`."""
        closing = self._holds.ask(owner.incarnation, kept_since)
        if not requests and not closing:
            return []
        self._asked_at = now
        for request in requests:
            request.sent_to = owner.incarnation
            request.is_closed = False
        counters = tuple(request.counter for request in requests if not request.answering)
        return [Ask(owner.incarnation, counters, closing)] if counters or closing else []

    def _address(self, request: OpenRequest) -> bool:
        """Direct a request to the owner; False (and held) while there is nobody."""
        if self.owner is None or self._adrift_since is not None:
            request.sent_to = ""
            return False
        request.sent_to = self.owner.incarnation
        request.is_closed = False
        return True

    def _send_again(self, request: OpenRequest) -> list[Action]:
        """Send a request that did not arrive, unless that does not help."""
        request.sent_to = ""
        request.losses += 1
        if request.losses <= LOSS_LIMIT:
            return [Send(request)] if self._address(request) else []
        return self._fail(request, refusals.never_arrives(request))

    def _end_in_part(self, request: OpenRequest, sender: str, index: int) -> list[Action]:
        """The final one of several responses is here: all of them are, and none need be kept."""
        request.is_closed = request.is_closed or request.sent_to == sender
        return [*self._end(request), Confirm(sender, request.counter, index)]

    def _confirmed(self, request: OpenRequest) -> list[Action]:
        """Tell who answers how many responses were taken."""
        progress = request.progress
        if progress is None or progress.taken < 0:
            return []
        return [Confirm(progress.by, request.counter, progress.taken)]

    def _interrupt(self, request: OpenRequest, cause: str) -> list[Action]:
        """Fail a request of which some responses are here and the others will never be."""
        return self._withdrawn(request) + self._fail(request, refusals.interrupted(request, cause))

    def _withdrawn(self, request: OpenRequest) -> list[Action]:
        """Tell everyone who has the request that nobody waits for it."""
        told = dict.fromkeys(who for who in (request.sent_to, request.answering) if who)
        return [Withdraw(who, request.counter) for who in told]

    def _fail(self, request: OpenRequest, error: ShoalError) -> list[Action]:
        return [Fail(request, error), *self._end(request)]

    def _end(self, request: OpenRequest) -> list[Action]:
        """The request is not open any more: its inputs are freed, or kept while a scheduler may have somebody read
        them."""
        del self._open[request.counter]
        if request.progress is not None:
            self._begun.end(request.counter)
        block = request.packed.block
        if block is None:
            return []
        if request.is_closed or not request.sent_to:
            return [Free(block.generation)]
        self._holds.keep(request.counter, block.generation, request.sent_to, request.opened_at)
        return []

    def _free_kept(self, sender: str, counters: Iterable[int]) -> list[Action]:
        return [Free(generation) for generation in self._holds.closed(sender, counters)]

    def _sent_to(self, sender: str, counters: Iterable[int]) -> list[OpenRequest]:
        found = map(self._open.get, counters)
        return [request for request in found if request is not None and request.sent_to == sender]

    def _not_begun(self, sender: str, counters: Iterable[int]) -> list[OpenRequest]:
        """Those of these requests of which no response is here: the others are never sent again."""
        return [request for request in self._sent_to(sender, counters) if request.progress is None]

    def _give_up_late(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for counter in self._deadlines.passed(now):
            request = self._open.get(counter)
            if request is None:
                continue
            actions += self._withdrawn(request)
            actions += self._fail(request, refusals.expired(request, now))
        return actions

    def _give_up_adrift(self, now: float, since: float) -> list[Action]:
        actions: list[Action] = []
        for request in list(self._open.values()):
            if now - max(since, request.opened_at) < HOLD_S:
                continue
            if request.answering and self._link_down_since is None:
                continue
            missing = "the message broker cannot be reached" if self._link_down_since is not None else "no scheduler"
            actions += self._fail(request, refusals.held_too_long(request, HOLD_S, missing))
        return actions
