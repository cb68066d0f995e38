from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway_models import INLINE, add_sub, call, in_block, int32, served
from shoal.core.errors import InternalError, NotFound, Unavailable
from shoal.core.messages import OUT_OF_ORDER
from shoal.gateway.errors import Overloaded
from shoal.gateway.input_holds import KEPT_LIMIT
from shoal.gateway.normalize import Checked, check
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

OWNER = Owner("scheduler-a", 7, 0)
SUCCESSOR = Owner("scheduler-b", 8, 0)


def checked(deadline_s: float | None = None, generation: str = "g1") -> Checked:
    request = call(int32("LEFT", [1, 2, 3, 4]), int32("RIGHT", [1, 2, 3, 4]), deadline_s=deadline_s)
    return check(request, served(add_sub(), generation=generation))


@pytest.fixture
def requests() -> OpenRequests:
    """Linked, with an owner, at time 0."""
    requests = OpenRequests(0.0)
    assert requests.owner_is(OWNER, 0.0) == []
    return requests


def errors(actions: list[Action]) -> list[str]:
    return [action.error.message for action in actions if isinstance(action, Fail)]


def test_a_request_is_sent_to_the_owner_at_once(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    assert (request.counter, request.sent_to) == (1, "scheduler-a")


def test_an_answer_closes_its_request_and_a_second_one_is_dropped(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    assert requests.answered("executor-1", request.counter) == (request, [])
    assert requests.answered("executor-1", request.counter) == (None, [])
    assert len(requests) == 0


def test_a_client_that_leaves_withdraws_its_request(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    assert requests.withdraw(request.counter) == [Withdraw("scheduler-a", 1)]
    assert requests.withdraw(request.counter) == []


def test_without_an_owner_requests_are_held_and_sent_when_it_is_known() -> None:
    requests = OpenRequests(0.0)
    first, second = requests.open(checked(), INLINE, 1.0), requests.open(checked(), INLINE, 2.0)
    assert first.sent_to == ""
    assert requests.owner_is(OWNER, 3.0) == [Send(first), Send(second)]
    assert first.sent_to == "scheduler-a"


def test_a_held_request_is_withdrawn_without_telling_anybody() -> None:
    requests = OpenRequests(0.0)
    assert requests.withdraw(requests.open(checked(), INLINE, 1.0).counter) == []


def test_a_held_request_is_refused_after_ten_seconds() -> None:
    requests = OpenRequests(0.0)
    requests.open(checked(), INLINE, 1.0)
    assert requests.tick(10.9) == []
    assert errors(requests.tick(11.0)) == [
        "request for model 'addsub' waited 10 s in vain: no scheduler; try again later"
    ]
    assert len(requests) == 0


def test_sent_requests_are_refused_too_when_nobody_can_be_asked_for_ten_seconds(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    requests.link_is(False, 5.0)
    assert requests.tick(14.9) == []
    assert "the message broker cannot be reached" in errors(requests.tick(15.0))[0]


def test_new_requests_are_held_for_a_second_after_the_link_is_lost_and_refused_then(requests: OpenRequests) -> None:
    requests.link_is(False, 5.0)
    assert requests.open(checked(), INLINE, 6.0).sent_to == ""
    with pytest.raises(Unavailable, match="was not accepted: the message broker cannot be reached"):
        requests.open(checked(), INLINE, 6.1)


def test_after_a_reconnect_sent_requests_are_asked_after_and_held_ones_sent(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    requests.link_is(False, 5.0)
    held = requests.open(checked(), INLINE, 5.5)
    assert requests.link_is(True, 7.0) == [Ask("scheduler-a", (1,), ()), Send(held)]


def test_a_new_owner_is_asked_after_what_the_old_one_was_sent(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    assert requests.owner_is(SUCCESSOR, 2.0) == [Ask("scheduler-b", (1,), ())]
    assert requests.withdraw(request.counter) == [Withdraw("scheduler-b", 1)]


def test_an_owner_that_reconnected_is_asked(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    assert requests.owner_is(OWNER._replace(links=1), 2.0) == [Ask("scheduler-a", (1,), ())]
    assert requests.owner_is(OWNER._replace(links=1), 2.1) == []


def test_an_owner_that_was_suspected_for_a_moment_is_not_asked_again(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    requests.owner_is(None, 2.0)
    held = requests.open(checked(), INLINE, 2.5)
    assert requests.owner_is(OWNER, 3.0) == [Send(held)]


def test_what_the_owner_does_not_know_is_sent_again(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    requests.owner_is(SUCCESSOR, 2.0)
    assert requests.reconciled("scheduler-b", 8, (1, 99), (), 2.1) == [Send(request)]


def test_what_a_request_died_of_is_said_when_it_is_sent_again(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    requests.retried("scheduler-a", ((1, ("signal 9",)), (99, ("signal 9",))))
    requests.owner_is(SUCCESSOR, 2.0)
    requests.retried("scheduler-b", ((1, ("it ended before",)),))
    assert requests.reconciled("scheduler-b", 8, (1,), (), 2.1) == [Send(request)]
    assert request.deaths == ("signal 9",)


def test_a_former_owner_tells_nothing_of_what_the_new_one_tries(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    requests.owner_is(SUCCESSOR, 2.0)
    requests.retried("scheduler-a", ((1, ("signal 9",)),))
    assert request.deaths == ()


def test_a_request_that_never_arrives_is_given_up(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    for _ in range(9):
        assert requests.reconciled("scheduler-a", 7, (1,), (), 6.0) == [Send(request)]
    assert errors(requests.reconciled("scheduler-a", 7, (1,), (), 6.0)) == [
        "request for model 'addsub' was sent 10 times and did not arrive at the scheduler; "
        "are all processes of one release?"
    ]
    assert len(requests) == 0


def test_an_answer_that_was_lost_is_told_to_the_client(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    assert "its answer was lost" in errors(requests.reconciled("scheduler-a", 7, (), (1,), 2.0))[0]


@pytest.mark.parametrize(("sender", "epoch"), [("scheduler-a", 7), ("scheduler-b", 7)])
def test_replies_of_former_owners_and_lower_epochs_are_dropped(requests: OpenRequests, sender: str, epoch: int) -> None:
    requests.open(checked(), INLINE, 1.0)
    requests.owner_is(SUCCESSOR, 2.0)
    assert requests.reconciled(sender, epoch, (1,), (1,), 2.1) == []


def test_requests_older_than_five_seconds_are_asked_after_once_a_second(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    requests.open(checked(), INLINE, 4.0)
    assert requests.tick(5.9) == []
    assert requests.tick(6.0) == [Ask("scheduler-a", (1,), ())]
    assert requests.tick(6.9) == []
    assert requests.tick(7.0) == [Ask("scheduler-a", (1,), ())]
    assert requests.tick(9.0) == [Ask("scheduler-a", (1, 2), ())]


def test_a_request_that_went_to_a_former_owner_goes_to_the_next_one(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    assert requests.not_owned("scheduler-a", (1,), 1.5) == []
    assert request.sent_to == ""
    assert requests.owner_is(SUCCESSOR, 2.0) == [Send(request)]


def test_a_refusal_by_a_former_owner_does_not_hold_what_the_new_one_has(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    requests.owner_is(SUCCESSOR, 2.0)
    assert requests.not_owned("scheduler-a", (1,), 2.1) == []
    assert requests.open(checked(), INLINE, 2.2).sent_to == "scheduler-b"


def test_a_stale_request_is_checked_again_and_sent(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    assert requests.stale("scheduler-a", (1,), 1.5) == [Recheck(request)]
    renewed = checked(generation="g2")
    assert requests.rechecked(request, renewed) == [Send(request)]
    assert request.checked is renewed


def test_a_stale_request_that_does_not_fit_any_more_is_answered(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    requests.stale("scheduler-a", (1,), 1.5)
    error = NotFound("gone")
    assert requests.rechecked(request, error) == [Fail(request, error)]
    assert requests.rechecked(request, error) == []


def test_a_request_that_stays_stale_is_given_up(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    requests.stale("scheduler-a", (1,), 2.0)
    requests.rechecked(request, checked())
    assert errors(requests.stale("scheduler-a", (1,), 12.0)) == [
        "model 'addsub' was being replaced for more than 10 s; try again later"
    ]


def test_a_request_that_is_being_checked_again_is_not_sent_by_a_new_owner(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    requests.stale("scheduler-a", (1,), 1.5)
    assert requests.owner_is(SUCCESSOR, 2.0) == []
    assert requests.rechecked(request, checked()) == [Send(request)]


def test_a_request_is_given_up_a_second_after_its_deadline(requests: OpenRequests) -> None:
    requests.open(checked(deadline_s=3.0), INLINE, 1.0)
    assert requests.tick(3.9) == []
    actions = requests.tick(4.0)
    assert actions[0] == Withdraw("scheduler-a", 1)
    assert errors(actions) == ["deadline of 2000 ms passed after 3000 ms without an answer for model 'addsub'"]


def test_a_deadline_that_has_passed_already_is_refused(requests: OpenRequests) -> None:
    with pytest.raises(Unavailable, match="deadline passed before the request"):
        requests.open(checked(deadline_s=1.0), INLINE, 1.0)


def test_a_request_that_cannot_be_sent_is_closed(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    error = InternalError("too big")
    assert requests.fail(request.counter, error) == [Fail(request, error)]
    assert requests.fail(request.counter, error) == []
    assert len(requests) == 0


def test_what_a_new_owner_does_not_know_is_sent_again_in_the_order_in_which_it_came(requests: OpenRequests) -> None:
    first, second, third = (requests.open(checked(), INLINE, 1.0) for _ in range(3))
    requests.stale("scheduler-a", (1,), 1.5)
    requests.rechecked(first, checked())
    assert requests.owner_is(SUCCESSOR, 2.0) == [Ask("scheduler-b", (1, 2, 3), ())]
    assert requests.reconciled("scheduler-b", 8, (1, 2, 3), (), 2.1) == [Send(first), Send(second), Send(third)]


def test_closing_answers_everything(requests: OpenRequests) -> None:
    requests.open(checked(), INLINE, 1.0)
    assert errors(requests.close_all(Unavailable("stopping"))) == ["stopping"]
    assert len(requests) == 0


def test_an_executor_s_answer_frees_nothing_until_the_scheduler_says_closed(requests: OpenRequests) -> None:
    request = requests.open(checked(), in_block(31), 1.0)
    assert requests.answered("executor-1", request.counter) == (request, [])
    assert requests.closed("scheduler-a", (1,)) == [Free(31)]
    assert requests.closed("scheduler-a", (1,)) == []


def test_inputs_that_were_closed_before_the_answer_came_are_freed_with_it(requests: OpenRequests) -> None:
    request = requests.open(checked(), in_block(31), 1.0)
    assert requests.closed("scheduler-a", (1,)) == []
    assert requests.answered("executor-1", 1) == (request, [Free(31)])


def test_an_answer_of_the_scheduler_itself_frees_the_inputs(requests: OpenRequests) -> None:
    request = requests.open(checked(), in_block(31), 1.0)
    assert requests.answered("scheduler-a", 1) == (request, [Free(31)])


def test_a_late_answer_of_the_scheduler_frees_the_inputs_of_a_request_that_was_given_up(requests: OpenRequests) -> None:
    requests.open(checked(), in_block(31), 1.0)
    assert requests.withdraw(1) == [Withdraw("scheduler-a", 1)]
    assert requests.answered("executor-1", 1) == (None, [])
    assert requests.answered("scheduler-a", 1) == (None, [Free(31)])


def test_a_request_that_is_sent_again_keeps_its_inputs_though_they_were_closed(requests: OpenRequests) -> None:
    request = requests.open(checked(), in_block(31), 1.0)
    requests.closed("scheduler-a", (1,))
    assert requests.reconciled("scheduler-a", 7, (1,), (), 2.0) == [Send(request)]
    assert requests.withdraw(1) == [Withdraw("scheduler-a", 1)]
    assert requests.kept == 1


def test_inputs_of_a_request_that_was_never_sent_are_freed_with_it() -> None:
    requests = OpenRequests(0.0)
    requests.open(checked(), in_block(31), 1.0)
    assert requests.withdraw(1) == [Free(31)]
    failed = requests.open(checked(), in_block(32), 2.0)
    failure, freed = requests.tick(12.0)
    assert isinstance(failure, Fail)
    assert (failure.request, freed) == (failed, Free(32))


@pytest.mark.parametrize("news", ["not owned", "stale", "unknown"])
def test_what_a_scheduler_does_not_have_is_freed_when_it_is_not_open_any_more(
    requests: OpenRequests, news: str
) -> None:
    requests.open(checked(), in_block(31), 1.0)
    requests.withdraw(1)
    match news:
        case "not owned":
            actions = requests.not_owned("scheduler-a", (1,), 2.0)
        case "stale":
            actions = requests.stale("scheduler-a", (1,), 2.0)
        case _:
            actions = requests.reconciled("scheduler-a", 7, (1,), (), 2.0)
    assert actions == [Free(31)]


def test_a_stale_request_that_does_not_fit_any_more_frees_its_inputs(requests: OpenRequests) -> None:
    request = requests.open(checked(), in_block(31), 1.0)
    requests.stale("scheduler-a", (1,), 1.5)
    error = NotFound("gone")
    assert requests.rechecked(request, error) == [Fail(request, error), Free(31)]


def test_inputs_of_a_request_whose_deadline_passed_are_kept(requests: OpenRequests) -> None:
    requests.open(checked(deadline_s=3.0), in_block(31), 1.0)
    assert [type(action) for action in requests.tick(4.0)] == [Withdraw, Fail]
    assert requests.kept == 1


def test_kept_inputs_are_asked_after_by_a_new_owner_and_after_a_gap(requests: OpenRequests) -> None:
    requests.open(checked(), in_block(31), 1.0)
    requests.withdraw(1)
    requests.open(checked(), in_block(32), 1.0)
    assert requests.owner_is(SUCCESSOR, 2.0) == [Ask("scheduler-b", (2,), (1,))]
    assert requests.closed("scheduler-a", (1,)) == []
    requests.link_is(False, 3.0)
    assert requests.link_is(True, 4.0) == [Ask("scheduler-b", (2,), (1,))]
    assert requests.closed("scheduler-b", (1,)) == [Free(31)]


def test_kept_inputs_are_asked_after_when_they_are_old_once_a_second(requests: OpenRequests) -> None:
    requests.open(checked(), in_block(31), 1.0)
    requests.answered("executor-1", 1)
    assert requests.tick(5.9) == []
    assert requests.tick(6.0) == [Ask("scheduler-a", (), (1,))]
    assert requests.tick(6.9) == []
    assert requests.tick(7.0) == [Ask("scheduler-a", (), (1,))]


def test_nothing_is_freed_while_nobody_can_be_asked(requests: OpenRequests) -> None:
    requests.open(checked(), in_block(31), 1.0)
    requests.open(checked(), in_block(32), 1.0)
    requests.withdraw(1)
    requests.owner_is(None, 2.0)
    failures = [action for second in range(3, 3600) for action in requests.tick(second)]
    assert [type(action) for action in failures] == [Fail]
    assert requests.kept == 2


def test_with_too_many_blocks_kept_requests_with_blocks_are_refused(requests: OpenRequests) -> None:
    for counter in range(1, KEPT_LIMIT + 1):
        requests.open(checked(), in_block(counter), 1.0)
        requests.answered("executor-1", counter)
    with pytest.raises(Overloaded, match="the inputs of 32768 requests are kept until the scheduler says"):
        requests.open(checked(), in_block(KEPT_LIMIT + 1), 1.0)
    requests.open(checked(), INLINE, 1.0)


def begin(requests: OpenRequests, now: float = 1.0, count: int = 1, by: str = "executor-1") -> OpenRequest:
    """A request of which `count` responses are here."""
    request = requests.open(checked(), INLINE, now)
    for index in range(count):
        assert requests.answered_in_part(by, request.counter, index, False, now) == (request, False, [])
    return request


def test_responses_are_handed_out_in_their_order_and_the_final_one_closes_the_request(requests: OpenRequests) -> None:
    request = begin(requests, count=2)
    heard = requests.answered_in_part("executor-1", request.counter, 2, True, 2.0)
    assert heard == (request, False, [Confirm("executor-1", request.counter, 2)])
    assert len(requests) == 0


def test_a_response_that_came_before_is_dropped_and_what_was_taken_said_again(requests: OpenRequests) -> None:
    request = begin(requests, count=2)
    assert requests.answered_in_part("executor-1", 1, 0, False, 2.0) == (None, False, [])
    assert requests.taken(1, 1, 2.0) == [Confirm("executor-1", 1, 1)]
    assert requests.answered_in_part("executor-1", 1, 0, False, 2.0).actions == [Confirm("executor-1", 1, 1)]
    assert request.counter == 1


def test_a_response_before_which_one_is_missing_is_asked_for_again_at_once_but_not_in_heaps(
    requests: OpenRequests,
) -> None:
    begin(requests)
    repeat = [Repeat("executor-1", 1)]
    assert requests.answered_in_part("executor-1", 1, 2, False, 2.0) == (None, True, repeat)
    assert requests.answered_in_part("executor-1", 1, 3, True, 2.1) == (None, True, [])
    assert requests.answered_in_part("executor-1", 1, 3, True, 3.0) == (None, True, repeat)


def test_a_missing_first_response_is_asked_for_where_the_second_came_from(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    assert requests.answered_in_part("executor-1", 1, 1, False, 2.0) == (None, True, [Repeat("executor-1", 1)])
    assert requests.answered_in_part("executor-1", 1, 0, False, 2.1).request is request


def test_who_gives_responses_to_nobody_is_told_to_stop(requests: OpenRequests) -> None:
    assert requests.answered_in_part("executor-1", 9, 3, False, 1.0).actions == [Withdraw("executor-1", 9)]
    assert requests.answered_in_part("executor-1", 9, 4, True, 1.0).actions == [Confirm("executor-1", 9, 4)]


def test_responses_of_two_executions_are_not_mixed(requests: OpenRequests) -> None:
    begin(requests)
    assert requests.answered_in_part("executor-2", 1, 1, False, 2.0) == (None, False, [Withdraw("executor-2", 1)])
    assert requests.answered("executor-2", 1) == (None, [])
    assert len(requests) == 1


def test_what_was_answered_in_part_is_never_sent_again(requests: OpenRequests) -> None:
    request = begin(requests)
    assert requests.reconciled("scheduler-a", 7, (1,), (), 2.0) == []
    assert requests.reconciled("scheduler-a", 7, (), (1,), 2.0) == []
    assert requests.stale("scheduler-a", (1,), 2.0) == []
    assert requests.not_owned("scheduler-a", (1,), 2.0) == []
    assert requests.owner_is(SUCCESSOR, 3.0) == []
    assert requests.tick(20.0) == []
    assert len(requests) == 1
    assert requests.withdraw(1) == [Withdraw("scheduler-b", 1), Withdraw("executor-1", 1)]
    assert request.deaths == ()


def test_a_request_whose_process_has_ended_in_the_middle_fails_with_the_cause(requests: OpenRequests) -> None:
    begin(requests, count=3)
    requests.process_ended("executor-1", "signal 9", 5.0)
    assert requests.tick(5.1) == []
    actions = requests.tick(5.2)
    assert actions[:2] == [Withdraw("scheduler-a", 1), Withdraw("executor-1", 1)]
    assert errors(actions) == [
        "request for model 'addsub' was interrupted after 3 responses: the process that gave them has ended "
        "(signal 9); it is not executed a second time"
    ]


def test_the_last_words_of_a_process_that_has_ended_are_heard(requests: OpenRequests) -> None:
    request = begin(requests)
    requests.process_ended("executor-1", "signal 9", 5.0)
    assert requests.answered_in_part("executor-1", 1, 1, True, 5.1).request is request
    assert requests.tick(6.0) == []


def test_a_process_whose_end_was_heard_before_its_first_response_fails_it_too(requests: OpenRequests) -> None:
    requests.process_ended("executor-1", "signal 9", 0.5)
    begin(requests)
    assert len(errors(requests.tick(1.1))) == 1


def test_a_process_that_is_heard_again_was_not_gone(requests: OpenRequests) -> None:
    requests.process_ended("executor-1", "it is not heard any more", 0.5)
    requests.process_appeared("executor-1")
    begin(requests)
    assert requests.tick(2.0) == []


def test_a_request_of_which_nothing_has_come_is_left_to_the_scheduler_when_an_executor_ends(
    requests: OpenRequests,
) -> None:
    requests.open(checked(), INLINE, 1.0)
    requests.process_ended("executor-1", "signal 9", 1.0)
    assert requests.tick(4.0) == []


def test_a_request_that_goes_on_without_a_scheduler_is_not_given_up_for_want_of_one(requests: OpenRequests) -> None:
    begin(requests)
    requests.owner_is(None, 2.0)
    assert errors(requests.tick(30.0)) == []
    requests.link_is(False, 31.0)
    assert "the message broker cannot be reached" in errors(requests.tick(42.0))[0]


def test_whoever_is_quiet_is_asked_once_the_client_has_everything(requests: OpenRequests) -> None:
    begin(requests)
    assert requests.tick(30.0) == []
    requests.taken(1, 0, 31.0)
    assert requests.tick(35.0) == []
    assert requests.tick(36.0) == [Repeat("executor-1", 1)]
    assert requests.tick(40.0) == []
    assert requests.tick(41.0) == [Repeat("executor-1", 1)]


def test_an_end_out_of_order_is_an_end(requests: OpenRequests) -> None:
    request = begin(requests, count=4)
    assert requests.answered_in_part("executor-1", 1, OUT_OF_ORDER, True, 2.0).request is request
    assert len(requests) == 0


def test_an_ensemble_that_was_answered_in_part_fails_with_its_scheduler(requests: OpenRequests) -> None:
    begin(requests, by="scheduler-a")
    assert requests.owner_is(SUCCESSOR, 2.0) == [Ask("scheduler-b", (1,), ())]
    assert (
        "the scheduler that answered it was replaced" in errors(requests.reconciled("scheduler-b", 8, (1,), (), 2.1))[0]
    )


def test_a_former_scheduler_begins_no_answer_any_more(requests: OpenRequests) -> None:
    request = requests.open(checked(), INLINE, 1.0)
    requests.owner_is(SUCCESSOR, 2.0)
    assert requests.answered_in_part("scheduler-a", 1, 0, False, 2.1) == (None, False, [Withdraw("scheduler-a", 1)])
    assert requests.reconciled("scheduler-b", 8, (1,), (), 2.2) == [Send(request)]


class Interleavings(RuleBasedStateMachine):
    """Whatever happens in whatever order: a request is answered once, none is forgotten, and the inputs of each are
    freed once, and not before the scheduler that was asked last has no more use for them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.requests = OpenRequests(0.0)
        self.waiting: dict[int, OpenRequest] = {}
        self.rechecking: list[OpenRequest] = []
        self.epoch = 1
        self.opened = 0
        self.is_linked = True
        #: The blocks that are allocated, and by whose word each may go: empty when nobody has been told of it.
        self.blocks: dict[int, str] = {}
        #: How many responses to a request are here, of those that have several.
        self.begun: dict[int, int] = {}

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Fail(request, _):
                    assert self.waiting.pop(request.counter) is request
                case Recheck(request):
                    self.rechecking.append(request)
                case Send(request):
                    assert self.is_linked
                    assert request.counter not in self.begun
                    assert request.counter in self.waiting
                    assert request.sent_to
                    assert request.counter in self.blocks
                    self.blocks[request.counter] = request.sent_to
                case Ask(to, counters, closing):
                    assert set(counters) <= self.waiting.keys()
                    assert not set(closing) & self.waiting.keys()
                    self.blocks |= dict.fromkeys((*counters, *closing), to)
                case Free(generation):
                    assert generation not in self.waiting
                    assert self.blocks.pop(generation) == ""

    def no_use(self, name: str, counters: Iterable[int]) -> None:
        """This scheduler is about to say that it has no use for these inputs."""
        self.blocks |= {counter: "" for counter in counters if self.blocks.get(counter) == name}

    @rule()
    def open(self) -> None:
        try:
            request = self.requests.open(checked(), in_block(self.opened + 1), self.now)
        except Unavailable:
            assert not self.is_linked
        else:
            self.opened += 1
            assert request.counter == self.opened
            self.waiting[request.counter] = request
            self.blocks[request.counter] = request.sent_to

    @rule(name=st.sampled_from(["a", "b", "executor"]), data=st.data())
    def answer(self, name: str, data: st.DataObject) -> None:
        if self.opened:
            counter = data.draw(st.integers(1, self.opened))
            is_begun = counter in self.begun and counter in self.waiting
            if not is_begun:
                self.no_use(name, (counter,))
            request, actions = self.requests.answered(name, counter)
            assert request is (None if is_begun else self.waiting.pop(counter, None))
            self.perform(actions)

    @rule(index=st.integers(0, 3), final=st.booleans(), data=st.data())
    def answer_in_part(self, index: int, final: bool, data: st.DataObject) -> None:
        """By an executor, which may be early, or say it twice."""
        if self.opened:
            counter = data.draw(st.integers(1, self.opened))
            request, is_early, actions = self.requests.answered_in_part("executor", counter, index, final, self.now)
            expected = self.begun.get(counter, 0)
            assert (request is not None) == (counter in self.waiting and index == expected)
            assert is_early == (counter in self.waiting and index > expected)
            if request is not None:
                self.begun[counter] = expected + 1
                if final:
                    del self.waiting[counter]
            self.perform(actions)

    @rule()
    def end_executor(self) -> None:
        self.requests.process_ended("executor", "signal 9", self.now)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.waiting:
            counter = data.draw(st.sampled_from(sorted(self.waiting)))
            del self.waiting[counter]
            self.perform(self.requests.withdraw(counter))

    @rule(name=st.sampled_from(["a", "b"]), data=st.data())
    def close(self, name: str, data: st.DataObject) -> None:
        counters = data.draw(st.lists(st.integers(1, 5), max_size=3, unique=True))
        self.no_use(name, counters)
        self.perform(self.requests.closed(name, counters))

    @rule(elapsed_s=st.sampled_from([0.1, 1.0, 6.0]))
    def wait(self, elapsed_s: float) -> None:
        self.now += elapsed_s
        self.perform(self.requests.tick(self.now))

    @rule(connected=st.booleans())
    def link(self, connected: bool) -> None:
        self.is_linked = connected
        self.perform(self.requests.link_is(connected, self.now))

    @rule(name=st.sampled_from(["a", "b", ""]))
    def own(self, name: str) -> None:
        self.epoch += 1
        self.perform(self.requests.owner_is(Owner(name, self.epoch, 0) if name else None, self.now))

    @rule(name=st.sampled_from(["a", "b"]), data=st.data())
    def refuse(self, name: str, data: st.DataObject) -> None:
        counters = data.draw(st.lists(st.integers(1, 5), max_size=3, unique=True))
        self.no_use(name, counters)
        self.perform(self.requests.not_owned(name, counters, self.now))

    @rule(name=st.sampled_from(["a", "b"]), data=st.data())
    def call_stale(self, name: str, data: st.DataObject) -> None:
        counters = data.draw(st.lists(st.integers(1, 5), max_size=3, unique=True))
        self.no_use(name, counters)
        self.perform(self.requests.stale(name, counters, self.now))

    @rule()
    def check_again(self) -> None:
        if self.rechecking:
            self.perform(self.requests.rechecked(self.rechecking.pop(), checked()))

    @rule(name=st.sampled_from(["a", "b"]), data=st.data())
    def reconcile(self, name: str, data: st.DataObject) -> None:
        unknown = data.draw(st.lists(st.integers(1, 5), max_size=3, unique=True))
        lost = data.draw(st.lists(st.integers(1, 5).filter(lambda counter: counter not in unknown), unique=True))
        if self.requests.owner is not None and self.requests.owner.incarnation == name:
            self.no_use(name, unknown)
        self.perform(self.requests.reconciled(name, self.epoch, unknown, lost, self.now))

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert len(self.requests) == len(self.waiting)

    @invariant()
    def what_nobody_has_a_use_for_is_not_kept(self) -> None:
        over = {counter: scheduler for counter, scheduler in self.blocks.items() if counter not in self.waiting}
        assert "" not in over.values()
        assert len(over) == self.requests.kept

    @invariant()
    def with_an_owner_nothing_is_held_but_what_is_checked_again(self) -> None:
        if not self.requests.is_adrift:
            held = [r for r in self.waiting.values() if not r.sent_to and r.counter not in self.begun]
            assert all(request in self.rechecking for request in held)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
