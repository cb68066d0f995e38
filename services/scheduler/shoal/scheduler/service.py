"""The shell around the core: messages, heartbeats and views in, messages and one timer out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import count
from time import monotonic_ns

from shoal.bus import Bus, HeartbeatBody, Ownership, Part, Peer, PeerEvent, View
from shoal.core.answer_counts import AnswerCounts
from shoal.core.desired import ModelEntry, decode_model
from shoal.core.errors import ShoalError
from shoal.core.ledger import CounterLedger
from shoal.core.messages import (
    V1,
    BatchDone,
    BatchQueryReply,
    Cancel,
    ExecutorReport,
    HoldQuery,
    InferRequest,
    InferResponse,
    NotOwner,
    Reconcile,
    Release,
    Resend,
    StatisticsQuery,
    StatisticsReply,
    Taken,
)
from shoal.core.model_config import from_json
from shoal.scheduler.core import SchedulerCore
from shoal.scheduler.events import (
    AdoptionBegan,
    AnswersTaken,
    Arrival,
    BatchesLost,
    BatchFinished,
    CancelRequested,
    Event,
    ExecutorGone,
    ExecutorReported,
    HoldsAsked,
    HostChanged,
    LinkChanged,
    ModelConfigured,
    ModelRemoved,
    OwnershipRenewed,
    ReconcileAsked,
    RepeatAsked,
    RequestsArrived,
    StepResponse,
    StepsAnswered,
    SubmitterLeft,
    TimerFired,
)
from shoal.scheduler.inventory import Inventory
from shoal.scheduler.performer import Performer
from shoal.scheduler.workers import host_events, worker_events
from shoal.telemetry.logs import get_logger

#: The ownership of all models.
OWNERSHIP_KEY = "models"
#: At the end, requests that still wait or execute are waited for this long when nobody stands by.
DRAIN_LIMIT_S = 30.0
#: What comes in for this long after we were asked to end is finished as well; see `drain`.
DRAIN_INTAKE_S = 3.0
_DRAIN_LOOK_S = 0.1
#: Who submits requests: gateways, and schedulers for the steps of ensembles.
_SUBMITTERS = ("gateway", "scheduler")

_log = get_logger("scheduler")


class SchedulerService:
    """`open` after the bus's handlers may be registered and before it starts, `own` after, `drain` and `close` at the
    end. A standby keeps its views current and answers that it does not own the models."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._core: SchedulerCore | None = None
        self._counts = AnswerCounts()
        self._performer = Performer(bus, self._counts, self._on_timer)
        self._arrivals: list[Arrival] = []
        self._step_responses: list[StepResponse] = []
        self._step_counters = count(1)
        self._configured: dict[str, ModelConfigured] = {}
        self._inventory = Inventory()
        self._ledger = CounterLedger()
        self._views: list[View] = []
        self._ownership: Ownership | None = None
        #: Set when nothing needs us any more; None until we are asked to end.
        self._drained: asyncio.Event | None = None

    def open(self) -> None:
        """Register everything with the bus."""
        bus = self._bus
        bus.body = self._body
        bus.on(InferRequest, self._on_request)
        bus.on(Cancel, self._on_cancel)
        bus.on(BatchDone, self._on_batch_done)
        bus.on(BatchQueryReply, self._on_batch_query_reply)
        bus.on(Reconcile, self._on_reconcile)
        bus.on(ExecutorReport, self._on_executor_report)
        bus.on(StatisticsQuery, self._on_statistics_query)
        bus.on(InferResponse, self._on_response)
        bus.on(Taken, self._on_taken)
        bus.on(Resend, self._on_resend)
        bus.on(HoldQuery, self._on_hold_query)
        bus.on_link(self._on_link)
        bus.watch_peers(self._on_peer)

    async def own(self) -> None:
        """Follow the desired state, and own the models as soon as nobody else does. Raises Unavailable when the
        broker has no working JetStream."""
        self._views.append(await View.open(self._bus, "desired", self._on_desired))
        ownerships = await View.open(self._bus, "ownership")
        self._views.append(ownerships)
        self._ownership = Ownership(self._bus, ownerships, OWNERSHIP_KEY, self._on_gain, self._on_loss)
        await self._ownership.start()

    async def drain(self) -> None:
        """Give the models to a standby; when there is none, finish what was accepted first.

        Requests are accepted until the end, since nobody else would take them: gateways keep what we turn away for ten
        seconds only, and one long execution here would turn all of that into errors. But while they keep coming we need
        not stay until none is left: what a successor finds executing it adopts, and what waited here it is sent again.
        So it is enough to finish what came in the first seconds, which is all when the gateways are ending as well.
        """
        self._drained = asyncio.Event()
        self._note_drained()
        intake_ends_ns = monotonic_ns() + int(DRAIN_INTAKE_S * 1e9)
        limit_ns = monotonic_ns() + int(DRAIN_LIMIT_S * 1e9)
        while not self._drained.is_set() and monotonic_ns() < limit_ns:
            if monotonic_ns() >= intake_ends_ns and not (self._core and self._core.has_older(intake_ends_ns)):
                break
            await self._wait_until_drained(_DRAIN_LOOK_S)
        if self._ownership is not None:
            await self._ownership.release()
        self._on_loss()

    async def _wait_until_drained(self, timeout_s: float) -> None:
        assert self._drained is not None
        waiting = asyncio.ensure_future(self._drained.wait())
        try:
            await asyncio.wait({waiting}, timeout=timeout_s)
        finally:
            waiting.cancel()

    async def close(self) -> None:
        for view in self._views:
            await view.close()

    def _note_drained(self) -> None:
        if self._drained is None:
            return
        has_work = self._core is not None and (self._core.open_count > 0 or bool(self._arrivals))
        if not has_work or any(self._alive("scheduler")):
            self._drained.set()

    def _body(self) -> HeartbeatBody:
        owned = {} if self._core is None else {OWNERSHIP_KEY: self._core.epoch}
        return HeartbeatBody(owned=owned, counters=self._counts.changed_lately())

    def _on_gain(self, epoch: int) -> None:
        if self._core is not None:
            self._handle(OwnershipRenewed(epoch))
        else:
            self._core = SchedulerCore(epoch, self._bus.incarnation, self._step_counters)
            hosts = [HostChanged(peer.incarnation, peer.heartbeat.host) for peer in self._alive("executor")]
            self._handle_all([*hosts, *self._configured.values(), *self._inventory.events(), AdoptionBegan()])
        self._bus.beat()

    def _on_loss(self) -> None:
        # Submitters find the new owner by its epoch, and ask it for what they had sent here.
        self._core = None
        self._performer.cancel_timer()
        self._bus.beat()

    def _on_request(self, sender: str, request: InferRequest, part: Part) -> None:
        # Everything that comes in one turn is queued before the first is sent, so that batches can form.
        if not self._arrivals:
            asyncio.get_running_loop().call_soon(self._take_arrivals)
        self._arrivals.append(Arrival(request, part))

    def _on_response(self, sender: str, response: InferResponse, part: Part) -> None:
        # As above: what follows from the answers of one batch may make one again.
        if not self._step_responses:
            asyncio.get_running_loop().call_soon(self._take_arrivals)
        self._step_responses.append(StepResponse(sender, response, part.payload))

    def _take_arrivals(self) -> None:
        responses, self._step_responses = self._step_responses, []
        arrivals, self._arrivals = self._arrivals, []
        if self._core is None:
            for arrival in arrivals:
                self._bus.send(arrival.request.submitter, NotOwner(V1, (arrival.request.counter,)))
            for sender, response, _ in responses:
                # What they have answered executors ask after; what they would go on answering has to be stopped.
                if not response.final:
                    self._bus.send(sender, Cancel(V1, self._bus.incarnation, (response.counter,)))
            return
        if responses:
            self._perform(StepsAnswered(tuple(responses)), self._core)
        if arrivals:
            self._perform(RequestsArrived(tuple(arrivals)), self._core)

    def _on_cancel(self, sender: str, message: Cancel, part: Part) -> None:
        self._handle(CancelRequested(message.submitter, message.counters))

    def _on_batch_done(self, sender: str, message: BatchDone, part: Part) -> None:
        self._handle(BatchFinished(sender, message.epoch, message.batch_id))

    def _on_batch_query_reply(self, sender: str, message: BatchQueryReply, part: Part) -> None:
        self._handle(BatchesLost(sender, message.epoch, message.unknown))

    def _on_reconcile(self, sender: str, message: Reconcile, part: Part) -> None:
        self._handle(ReconcileAsked(sender, message.counters, message.closing))

    def _on_executor_report(self, sender: str, message: ExecutorReport, part: Part) -> None:
        if self._core is not None and message.epoch == self._core.epoch:
            self._handle(ExecutorReported(sender, message.running, message.kept))

    def _on_statistics_query(self, sender: str, message: StatisticsQuery, part: Part) -> None:
        speaking = {peer.incarnation for peer in self._bus.peers.values() if not peer.suspected}
        known, own = self._ledger.without(speaking), self._counts.all()
        if own:
            known[self._bus.incarnation] = own
        self._bus.send(sender, StatisticsReply(V1, message.query_id, known))

    def _on_taken(self, sender: str, message: Taken, part: Part) -> None:
        self._handle(AnswersTaken(sender, message.answers))

    def _on_resend(self, sender: str, message: Resend, part: Part) -> None:
        self._handle(RepeatAsked(message.submitter, message.counter))

    def _on_hold_query(self, sender: str, message: HoldQuery, part: Part) -> None:
        if self._core is None:
            self._bus.send(sender, Release(V1, message.generations))
        else:
            self._handle(HoldsAsked(sender, message.generations))

    def _on_link(self, connected: bool) -> None:
        if connected:
            self._handle(LinkChanged(None))

    def _on_timer(self) -> None:
        self._handle(TimerFired())

    def _on_peer(self, event: PeerEvent) -> None:
        peer = event.peer
        if peer.heartbeat.counters:
            self._ledger.observe(peer.incarnation, peer.heartbeat.counters)
        executors = {known.incarnation for known in self._alive("executor")}
        self._handle_all((*host_events(event), *worker_events(self._inventory, event, executors)))
        if peer.role in _SUBMITTERS and event.kind == "left":
            self._handle(SubmitterLeft(peer.incarnation))
        self._note_drained()

    def _alive(self, role: str) -> Iterable[Peer]:
        return (peer for peer in self._bus.peers.values() if peer.role == role and not peer.suspected)

    def _on_desired(self, key: str, value: bytes | None, revision: int) -> None:
        if value is None:
            self._configured.pop(key, None)
            self._handle(ModelRemoved(key))
            self._forget_statistics(key, None)
            return
        event = _configured(decode_model(value))
        if event is not None and event != self._configured.get(event.model):
            self._configured[event.model] = event
            self._handle(event)
            self._forget_statistics(event.model, event.generation)

    def _forget_statistics(self, model: str, generation: str | None) -> None:
        """Keep what was counted for this generation of the model only; others start at zero should they come back."""
        known = self._ledger.generations()
        self._ledger.retain([counted for counted in known if counted[0] != model or counted[2] == generation])
        own = {row[:3] for row in self._counts.all()}
        self._counts.retain({counted for counted in own if counted[0] != model or counted[2] == generation})

    def _handle(self, event: Event) -> None:
        self._handle_all((event,))

    def _handle_all(self, events: Iterable[Event]) -> None:
        """Everything in the order of the wire: first the requests that came before."""
        self._take_arrivals()
        for event in events:
            if isinstance(event, ExecutorGone):
                _log.info("executor gone", executor=event.executor, cause=event.cause)
            if self._core is not None:
                self._perform(event, self._core)

    def _perform(self, event: Event, core: SchedulerCore) -> None:
        was_adopting = core.is_adopting
        self._performer.perform(core.handle(event, monotonic_ns()), core.epoch)
        if was_adopting and not core.is_adopting:
            _log.info("scheduling began", epoch=core.epoch, open=core.open_count)
        self._note_drained()


def _configured(entry: ModelEntry) -> ModelConfigured | None:
    """What an entry asks for; None while its configuration is being completed: until then what serves goes on."""
    if not entry.versions and not entry.reason:
        return None
    try:
        versions = {version: from_json(found.config) for version, found in entry.versions.items()}
    except (ShoalError, KeyError, TypeError, ValueError) as error:
        _log.error("configuration not understood", model=entry.model, generation=entry.generation, error=repr(error))
        return None
    return ModelConfigured(entry.model, entry.generation, versions)
