"""Sends requests to the scheduler that owns the models and waits for their answers.

A thin shell around `OpenRequests`: it feeds in what the bus tells and performs what comes out. Futures, not tasks:
an answer resolves the future of its request, or joins its stream, from within the bus's handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic

from shoal.bus import Bus, Part, Peer, PeerEvent
from shoal.core.answer_counts import OTHER
from shoal.core.errors import InternalError, ShoalError, Unavailable
from shoal.core.messages import (
    V1,
    V2,
    V3,
    Cancel,
    Closed,
    InferRequest,
    InferResponse,
    NotOwner,
    Reconcile,
    ReconcileReply,
    Resend,
    Retried,
    Stale,
)
from shoal.core.tensors import resolve
from shoal.gateway.answer_stream import AnswerStream
from shoal.gateway.data_plane import DataPlane
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
from shoal.gateway.open_requests import OpenRequests
from shoal.gateway.recipients import Recipients
from shoal.gateway.releases import Releases
from shoal.gateway.request import InferAnswer, InferCall
from shoal.gateway.statistics import Statistics
from shoal.gateway.taken_answers import TakenAnswers
from shoal.memory import Gone
from shoal.telemetry.logs import get_logger

_SCHEDULER = "scheduler"
_EXECUTOR = "executor"
_AGENT = "agent"
#: The ownership key of all models.
_MODELS = "models"
_TICK_INTERVAL_S = 0.1
_TEND_INTERVAL_S = 1.0
#: Between a refusal as stale and the next check, so that the view can catch up with the scheduler's.
_RECHECK_DELAY_S = 0.05

_log = get_logger("gateway")

CheckAgain = Callable[[InferCall], Awaitable[Checked]]


class Submitter:
    """Made before the bus starts; `open` registers its handlers, `close` answers what is left with UNAVAILABLE."""

    def __init__(self, bus: Bus, plane: DataPlane, statistics: Statistics, check_again: CheckAgain) -> None:
        self._bus = bus
        self._plane = plane
        self._releases = Releases(bus)
        self._taken = TakenAnswers(bus)
        self._statistics = statistics
        self._check_again = check_again
        self._requests = OpenRequests(monotonic())
        self._recipients = Recipients()
        self._rechecks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.TimerHandle | None = None
        self._tended_at = monotonic()

    def open(self) -> None:
        bus = self._bus
        bus.on(InferResponse, self._on_response)
        bus.on(NotOwner, self._on_not_owner)
        bus.on(Closed, self._on_closed)
        bus.on(Stale, self._on_stale)
        bus.on(Retried, self._on_retried)
        bus.on(ReconcileReply, self._on_reconcile_reply)
        bus.on_link(lambda connected: self._perform(self._requests.link_is(connected, monotonic())))
        bus.watch_peers(self._on_peer)
        self._releases.open()
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

    def submit(self, checked: Checked) -> Awaitable[InferAnswer]:
        """Send a request; what comes back is to be awaited at once. Cancelling that withdraws the request.

        Outputs are views of the answer's message, or bytes. Raises Overloaded or InvalidArgument when there is no room
        for the inputs, Unavailable, Cancelled or the model's own error.
        """
        request = self._open(checked)
        answer = self._recipients.wait(request.counter)
        if request.sent_to:
            self._send_or_fail(request)
        return self._wait(request.counter, answer)

    def stream(self, checked: Checked) -> AnswerStream:
        """Send a request for any number of responses; the stream is to be closed in any case.

        Raises as `submit` does up to the acceptance of the request; what goes wrong later is its final response.
        """
        request = self._open(checked)
        counter = request.counter
        stream = AnswerStream(
            lambda index: self._perform(self._requests.taken(counter, index, monotonic())),
            lambda: self._close_stream(counter),
        )
        self._recipients.stream(counter, stream)
        if request.sent_to:
            self._send_or_fail(request)
        return stream

    def _open(self, checked: Checked) -> OpenRequest:
        checked, packed = self._plane.pack(checked)
        try:
            return self._requests.open(checked, packed, monotonic())
        except ShoalError:
            if packed.block is not None:
                self._plane.free(packed.block.generation)
            raise

    def _close_stream(self, counter: int) -> None:
        self._recipients.remove(counter)
        self._perform(self._requests.withdraw(counter))

    async def _wait(self, counter: int, answer: asyncio.Future[InferAnswer]) -> InferAnswer:
        try:
            return await answer
        except asyncio.CancelledError:
            self._perform(self._requests.withdraw(counter))
            raise
        finally:
            self._recipients.remove(counter)

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
        headers, buffers, _ = request.packed
        deadline_us = None if call.deadline_s is None else max(0, int((call.deadline_s - monotonic()) * 1e6))
        message = InferRequest(
            schema=V3,
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
            deaths=request.deaths,
            host=self._plane.host,
        )
        self._bus.send(request.sent_to, message, buffers)

    def _on_response(self, sender: str, response: InferResponse, part: Part) -> None:
        if response.response_index or not response.final:
            self._on_one_of_several(sender, response, part)
            return
        request, actions = self._requests.answered(sender, response.counter)
        if request is not None:
            self._answer(request, response, part)
        if response.outputs:
            self._let_go(sender, response, is_only=True)
        if actions:
            self._perform(actions)

    def _on_one_of_several(self, sender: str, response: InferResponse, part: Part) -> None:
        _, counter, index, final, *_ = response
        request, is_early, actions = self._requests.answered_in_part(sender, counter, index, final, monotonic())
        if request is not None:
            self._answer(request, response, part)
        if not is_early:
            self._let_go(sender, response, is_only=False)
        self._perform(actions)

    def _let_go(self, sender: str, response: InferResponse, *, is_only: bool) -> None:
        """The outputs of a response were copied, or are not wanted: their memory is not used here (any more)."""
        peer = self._bus.peers.get(sender)
        if peer is None or peer.role != _SCHEDULER:
            if self._plane.host:
                self._releases.add(sender, response.outputs)
        elif is_only:
            # A scheduler holds what executors made for an ensemble; of several responses it hears as they are taken.
            self._taken.add(sender, response.counter, response.response_index)

    def _answer(self, request: OpenRequest, response: InferResponse, part: Part) -> None:
        """Hand out a response to a request that is, or was until now, open."""
        served = request.checked.served
        try:
            outputs = tuple([resolve(header, part.payload, self._plane.copy) for header in response.outputs])
        except Gone as gone:
            self._lose(request, response, gone)
            return
        if response.final:
            self._statistics.count_answer(served, response, int((monotonic() - request.opened_at) * 1e9))
        error = self._recipients.give(request, response, outputs)
        if error is not None:
            self._perform(self._requests.give_up(request.counter, error))

    def _lose(self, request: OpenRequest, response: InferResponse, gone: Gone) -> None:
        """The memory of a response is not there any more; nor will those be that follow it."""
        text = (
            f"request for model '{request.checked.served.model}' was executed, but the memory of its answer is gone "
            f"with the process that held it; it may be sent again: {gone.message}"
        )
        if response.final:
            self._fail(request, Unavailable(text))
        else:
            self._perform(self._requests.give_up(request.counter, Unavailable(text)))

    def _on_not_owner(self, sender: str, message: NotOwner, part: Part) -> None:
        self._perform(self._requests.not_owned(sender, message.counters, monotonic()))

    def _on_closed(self, sender: str, message: Closed, part: Part) -> None:
        self._perform(self._requests.closed(sender, message.counters))

    def _on_stale(self, sender: str, message: Stale, part: Part) -> None:
        self._perform(self._requests.stale(sender, message.counters, monotonic()))

    def _on_retried(self, sender: str, message: Retried, part: Part) -> None:
        self._requests.retried(sender, message.deaths)

    def _on_reconcile_reply(self, sender: str, message: ReconcileReply, part: Part) -> None:
        _, epoch, unknown, lost = message
        self._perform(self._requests.reconciled(sender, epoch, unknown, lost, monotonic()))

    def _on_peer(self, event: PeerEvent) -> None:
        incarnation, role, heartbeat, _ = event.peer
        now = monotonic()
        if role == _AGENT:
            for ended in heartbeat.ended:
                self._requests.process_ended(ended.executor, ended.cause, now)
        elif event.kind == "left":
            self._requests.process_ended(incarnation, f"{role} {incarnation} is not heard any more", now)
        elif event.kind == "appeared":
            self._requests.process_appeared(incarnation)
        if role == _SCHEDULER:
            self._perform(self._requests.owner_is(self._choose_owner(), now))
        elif role == _EXECUTOR:
            self._plane.executor_is_on(incarnation, None if event.kind == "left" else heartbeat.host)

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
        now = monotonic()
        self._perform(self._requests.tick(now))
        if now - self._tended_at >= _TEND_INTERVAL_S:
            self._tended_at = now
            self._plane.tend()

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send(request):
                    self._send_or_fail(request)
                case Ask(to, counters, closing):
                    self._bus.send(to, Reconcile(V2, counters, closing))
                case Withdraw(to, counter):
                    self._bus.send(to, Cancel(V1, self._bus.incarnation, (counter,)))
                case Repeat(to, counter):
                    self._bus.send(to, Resend(V1, self._bus.incarnation, counter))
                case Confirm(to, counter, up_to):
                    self._taken.add(to, counter, up_to)
                case Recheck(request):
                    task = asyncio.get_running_loop().create_task(self._recheck(request))
                    self._rechecks.add(task)
                    task.add_done_callback(self._rechecks.discard)
                case Fail(request, error):
                    self._fail(request, error)
                case Free(generation):
                    self._plane.free(generation)

    def _fail(self, request: OpenRequest, error: ShoalError) -> None:
        elapsed_ns = int((monotonic() - request.opened_at) * 1e9)
        self._statistics.count_failure(request.checked.served, elapsed_ns, OTHER)
        self._recipients.fail(request.counter, error)

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
