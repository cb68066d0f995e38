"""The responses of one request between the two state machines that keep them in order: what executors have untaken, and
what gateways have begun. The link between the two loses and delays whatever the test likes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway_models import INLINE, call, int32, one_input, served
from shoal.core import encoding
from shoal.core.messages import NO_TIMINGS, V1, V2, Cancel, InferResponse, Message, Resend, Taken
from shoal.gateway.normalize import check
from shoal.gateway.open_request import Action, Ask, Confirm, Fail, Owner, Repeat, Send, Withdraw
from shoal.gateway.open_requests import OpenRequests
from shoal.workers.executor.answers import Answer, Place, lost
from shoal.workers.executor.stream import CREDIT_COUNT
from shoal.workers.executor.untaken import Untaken

EXECUTOR, GATEWAY, SCHEDULER = "executor-1", "gateway-1", "scheduler-1"
#: Long enough for every probe and question on the way to the end.
END_S = 200.0


class BadLink(RuleBasedStateMachine):
    """However the link behaves: the client gets every response once and in order, the model is never more than its
    credit ahead, and once the link is good again everything comes to an end."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10.0
        self.to_gateway: deque[InferResponse] = deque()
        self.to_executor: deque[Message] = deque()
        self.untaken = Untaken()
        self.sent = 0
        self.has_ended = self.is_cancelled = self.has_left = False
        self.requests = OpenRequests(self.now)
        self.requests.owner_is(Owner(SCHEDULER, 1, 0), self.now)
        config = one_input("TYPE_INT32", [-1], model_transaction_policy={"decoupled": True})
        checked = check(call(int32("X", [1]), model="m"), served(config))
        self.counter = self.requests.open(checked, INLINE, self.now).counter
        self.arrived: list[int] = []
        self.taken = 0
        self.is_over = False
        self.failures: list[str] = []

    # The model and its executor.

    @property
    def has_room(self) -> bool:
        return self.is_cancelled or len(list(self.untaken)) < CREDIT_COUNT

    @precondition(lambda self: not self.has_ended and self.has_room)
    @rule(is_final=st.sampled_from([False, False, False, True]))
    def send(self, is_final: bool) -> None:
        # A response that is the only one is no stream, and kept in another way.
        is_final = is_final and (self.sent > 0 or self.is_cancelled)
        self.has_ended = is_final
        if self.is_cancelled:
            return
        response = InferResponse(V2, self.counter, self.sent, is_final, True, None, (), {}, NO_TIMINGS, False)
        self.untaken.add(Place(self.sent, is_final, False), 1, Answer(encoding.encode(response), ()), self.now)
        self.sent += 1
        self.to_gateway.append(response)

    @precondition(lambda self: self.to_executor)
    @rule()
    def executor_hears(self) -> None:
        match self.to_executor.popleft():
            case Taken(_, answers):
                for _, index in answers:
                    self.untaken.taken(index, self.now)
            case Resend():
                if not self.untaken and (self.has_ended or self.is_cancelled):
                    self._send_again(lost(self.counter))
                for answer in self.untaken:
                    self._send_again(answer)
            case Cancel():
                self.is_cancelled = True
                self.untaken = Untaken()

    @rule()
    def executor_repeats_all(self) -> None:
        """A link was mended."""
        for answer in self.untaken:
            self._send_again(answer)

    def _send_again(self, answer: Answer) -> None:
        message = encoding.decode(encoding.SCHEMA[InferResponse][0], answer.header)
        assert isinstance(message, InferResponse)
        self.to_gateway.append(message)

    # The link.

    @precondition(lambda self: self.to_gateway)
    @rule(data=st.data())
    def lose_response(self, data: st.DataObject) -> None:
        del self.to_gateway[data.draw(st.integers(0, len(self.to_gateway) - 1))]

    @precondition(lambda self: self.to_executor)
    @rule()
    def lose_news(self) -> None:
        self.to_executor.popleft()

    # The gateway and its client.

    @precondition(lambda self: self.to_gateway)
    @rule()
    def gateway_hears(self) -> None:
        response = self.to_gateway.popleft()
        if response.final and response.response_index == 0:
            request, actions = self.requests.answered(EXECUTOR, response.counter)
        else:
            index, final = response.response_index, response.final
            heard = self.requests.answered_in_part(EXECUTOR, response.counter, index, final, self.now)
            request, actions = heard.request, heard.actions
        if request is not None:
            self.is_over = response.final
            if response.error is None:
                self.arrived.append(response.response_index)
            else:
                self.failures.append(response.error[1])
        self._perform(actions)

    @precondition(lambda self: self.taken < len(self.arrived))
    @rule()
    def take(self) -> None:
        self.taken += 1
        self._perform(self.requests.taken(self.counter, self.taken - 1, self.now))

    @rule()
    def leave(self) -> None:
        self.has_left = True
        self._perform(self.requests.withdraw(self.counter))

    @rule(elapsed_s=st.sampled_from([0.1, 1.0, 6.0]))
    def wait(self, elapsed_s: float) -> None:
        self.now += elapsed_s
        self._tick()

    def _tick(self) -> None:
        self._perform(self.requests.tick(self.now))
        probe = self.untaken.probe(self.now)
        if probe is not None:
            self._send_again(probe)

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Confirm(_, counter, up_to):
                    self.to_executor.append(Taken(V1, ((counter, up_to),)))
                case Withdraw(to, counter) if to == EXECUTOR:
                    self.to_executor.append(Cancel(V1, GATEWAY, (counter,)))
                case Repeat(_, counter):
                    self.to_executor.append(Resend(V1, GATEWAY, counter))
                case Fail() | Send():
                    raise AssertionError("given up, or sent again, because of a bad link")
                case Ask() | Withdraw():
                    pass

    # What has to hold.

    @invariant()
    def responses_come_once_and_in_order(self) -> None:
        assert self.arrived == list(range(len(self.arrived)))

    @invariant()
    def the_model_is_no_more_than_its_credit_ahead(self) -> None:
        assert len(list(self.untaken)) <= CREDIT_COUNT
        assert len(self.arrived) - self.taken <= CREDIT_COUNT

    def teardown(self) -> None:
        end = self.now + END_S
        while self.now < end:
            while self.to_executor or self.to_gateway:
                if self.to_executor:
                    self.executor_hears()
                if self.to_gateway:
                    self.gateway_hears()
            while self.taken < len(self.arrived):
                self.take()
            if not self.has_ended and self.has_room:
                self.send(is_final=self.sent > 20 or self.is_cancelled)
            self.now += 1.0
            self._tick()
        assert self.has_ended, "the model waits for ever"
        assert not self.untaken, "responses are kept for ever"
        assert self.has_left or self.is_over, "the client waits for ever"
        if not self.has_left and not self.failures:
            assert len(self.arrived) == self.sent


TestBadLink = BadLink.TestCase
TestBadLink.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
