"""Sends requests to the scheduler that owns the models and waits for their answers.

A thin shell around `OpenRequests`: it feeds in what the bus tells and performs what comes out. Futures, not tasks:
an answer resolves the future of its request from within the bus's handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic

from shoal.bus import Bus, Part, Peer, PeerEvent
from shoal.core.errors import InternalError, ShoalError, Unavailable, from_wire
from shoal.core.messages import (
    V1,
    V2,
    Cancel,
    InferRequest,
    InferResponse,
    NotOwner,
    Reconcile,
    ReconcileReply,
    Stale,
)
from shoal.core.tensors import pack_inline, resolve
from shoal.gateway.answer_counts import OTHER
from shoal.gateway.normalize import Checked
from shoal.gateway.open_request import Action, Ask, Fail, OpenRequest, Owner, Recheck, Send, Withdraw
from shoal.gateway.open_requests import OpenRequests
from shoal.gateway.request import InferAnswer, InferCall
from shoal.gateway.statistics import Statistics
from shoal.telemetry.logs import get_logger

_SCHEDULER = "scheduler"
#: The ownership key of all models.
_MODELS = "models"
_TICK_INTERVAL_S = 0.1
#: Between a refusal as stale and the next check, so that the view can catch up with the scheduler's.
_RECHECK_DELAY_S = 0.05

_log = get_logger("gateway")

CheckAgain = Callable[[InferCall], Awaitable[Checked]]


class Submitter:
    """Made before the bus starts; `open` registers its handlers, `close` answers what is left with UNAVAILABLE."""

    def __init__(self, bus: Bus, statistics: Statistics, check_again: CheckAgain) -> None:
        self._bus = bus
        self._statistics = statistics
        self._check_again = check_again
        self._requests = OpenRequests(monotonic())
        self._answers: dict[int, asyncio.Future[InferAnswer]] = {}
        self._rechecks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.TimerHandle | None = None

    def open(self) -> None:
        bus = self._bus
        bus.on(InferResponse, self._on_response)
        bus.on(NotOwner, self._on_not_owner)
        bus.on(Stale, self._on_stale)
        bus.on(ReconcileReply, self._on_reconcile_reply)
        bus.on_link(lambda connected: self._perform(self._requests.link_is(connected, monotonic())))
        bus.watch_peers(self._on_peer)
        self._tick()

    def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        for task in self._rechecks:
            task.cancel()
        self._perform(self._requests.close_all(Unavailable("the gateway is stopping; try again")))

    @property
    def is_connected(self) -> bool:
        """Whether a request would find its way now: broker linked, and a scheduler that owns the models."""
        return self._bus.is_connected and any(_MODELS in peer.heartbeat.owned for peer in self._schedulers())

    async def submit(self, checked: Checked) -> InferAnswer:
        """The answer to one request. Cancelling the caller withdraws the request.

        Outputs are views of the answer's message. Raises Unavailable, Cancelled or the model's own error.
        """
        request = self._requests.open(checked, monotonic())
        answer: asyncio.Future[InferAnswer] = asyncio.get_running_loop().create_future()
        self._answers[request.counter] = answer
        try:
            if request.sent_to:
                self._perform((Send(request),))
            return await answer
        except asyncio.CancelledError:
            self._perform(self._requests.withdraw(request.counter))
            raise
        finally:
            del self._answers[request.counter]

    def _send_or_fail(self, request: OpenRequest) -> None:
        try:
            self._send(request)
        except ShoalError as error:
            self._perform(self._requests.fail(request.counter, error))
        except (TypeError, ValueError, OverflowError) as error:
            # A parameter that cannot travel; asking for it to be sent again would not end.
            self._perform(self._requests.fail(request.counter, InternalError(f"the request cannot be sent: {error}")))

    def _send(self, request: OpenRequest) -> None:
        checked = request.checked
        call, served = checked.call, checked.served
        headers, buffers = pack_inline(call.inputs)
        deadline_us = None if call.deadline_s is None else max(0, int((call.deadline_s - monotonic()) * 1e6))
        message = InferRequest(
            schema=V2,
            counter=request.counter,
            submitter=self._bus.incarnation,
            model=served.model,
            version=served.version,
            generation=served.generation,
            request_id=call.request_id,
            correlation_id=call.correlation_id,
            flags=call.flags,
            priority=checked.priority,
            timeout_us=call.timeout_us,
            deadline_us=deadline_us,
            batch_size=checked.batch_size,
            inputs=headers,
            outputs=checked.outputs,
            parameters=call.parameters,
            traceparent=call.traceparent,
            attempt=request.attempt,
            host="",
        )
        self._bus.send(request.sent_to, message, buffers)

    def _on_response(self, sender: str, response: InferResponse, part: Part) -> None:
        request = self._requests.answered(response.counter)
        if request is None:
            return
        served = request.checked.served
        elapsed_ns = int((monotonic() - request.opened_at) * 1e9)
        self._statistics.count_answer(served, response, elapsed_ns)
        answer = self._answers.get(response.counter)
        if answer is None or answer.done():
            return
        if response.error is not None:
            answer.set_exception(from_wire(response.error))
            return
        payload = part.payload
        outputs = tuple([resolve(header, payload) for header in response.outputs])
        request_id = request.checked.call.request_id
        answer.set_result(InferAnswer(served.model, served.version, request_id, outputs, response.parameters))

    def _on_not_owner(self, sender: str, message: NotOwner, part: Part) -> None:
        self._perform(self._requests.not_owned(sender, message.counters, monotonic()))

    def _on_stale(self, sender: str, message: Stale, part: Part) -> None:
        self._perform(self._requests.stale(sender, message.counters, monotonic()))

    def _on_reconcile_reply(self, sender: str, message: ReconcileReply, part: Part) -> None:
        _, epoch, unknown, lost = message
        self._perform(self._requests.reconciled(sender, epoch, unknown, lost, monotonic()))

    def _on_peer(self, event: PeerEvent) -> None:
        if event.peer.role == _SCHEDULER:
            self._perform(self._requests.owner_is(self._choose_owner(), monotonic()))

    def _choose_owner(self) -> Owner | None:
        """The highest epoch wins; while its holder is suspected nobody is the owner."""
        claims = [peer for peer in self._schedulers() if _MODELS in peer.heartbeat.owned]
        best = max(claims, key=lambda peer: peer.heartbeat.owned[_MODELS], default=None)
        if best is None or best.suspected:
            return None
        return Owner(best.incarnation, best.heartbeat.owned[_MODELS], best.heartbeat.links)

    def _schedulers(self) -> list[Peer]:
        return [peer for peer in self._bus.peers.values() if peer.role == _SCHEDULER]

    def _tick(self) -> None:
        # Set first: whatever one tick meets, there is another.
        self._ticking = asyncio.get_running_loop().call_later(_TICK_INTERVAL_S, self._tick)
        self._perform(self._requests.tick(monotonic()))

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send(request):
                    self._send_or_fail(request)
                case Ask(to, counters):
                    self._bus.send(to, Reconcile(V2, counters, ()))
                case Withdraw(to, counter):
                    self._bus.send(to, Cancel(V1, self._bus.incarnation, (counter,)))
                case Recheck(request):
                    task = asyncio.get_running_loop().create_task(self._recheck(request))
                    self._rechecks.add(task)
                    task.add_done_callback(self._rechecks.discard)
                case Fail(request, error):
                    self._fail(request, error)

    def _fail(self, request: OpenRequest, error: ShoalError) -> None:
        elapsed_ns = int((monotonic() - request.opened_at) * 1e9)
        self._statistics.count_failure(request.checked.served, elapsed_ns, OTHER)
        answer = self._answers.get(request.counter)
        if answer is not None and not answer.done():
            answer.set_exception(error)

    async def _recheck(self, request: OpenRequest) -> None:
        await asyncio.sleep(_RECHECK_DELAY_S)
        try:
            found: Checked | ShoalError = await self._check_again(request.checked.call)
        except ShoalError as error:
            found = error
        except Exception as error:
            # Nobody else would answer this request.
            _log.exception("request not checked again", model=request.checked.call.model)
            found = InternalError(f"the request could not be checked again: {type(error).__name__}: {error}")
        self._perform(self._requests.rechecked(request, found))
