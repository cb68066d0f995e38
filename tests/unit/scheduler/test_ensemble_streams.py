"""Ensembles with decoupled steps: every response goes its own way. Rules: scheduling.md 5."""

from __future__ import annotations

import pytest

from ensemble_stage import LARGE_NBYTES, EnsembleStage, Step, ensemble, model, step
from scheduler_stage import OWN, SUBMITTER, S
from shoal.core.errors import Code
from shoal.core.messages import OUT_OF_ORDER, V1, Resend
from shoal.scheduler.actions import Tell
from shoal.scheduler.events import LinkChanged, RepeatAsked

ONE = b"\0\0\x80\x3f"


@pytest.fixture
def stage() -> EnsembleStage:
    """The decoupled `d`, whose responses go to `b`."""
    config = ensemble(step("d", "X=IN", "Y=mid"), step("b", "X=mid", "Y=OUT"), decoupled=True)
    return EnsembleStage(config, model("d", decoupled=True), model("b"))


def begin(stage: EnsembleStage, counter: int = 1) -> Step:
    """A request has come, and the batch of its first step is done; its responses are to come."""
    stage.ask(counter, IN=ONE)
    found = stage.at("d")
    stage.done_with(found)
    return found


def told(stage: EnsembleStage) -> list[tuple[int, bool, bool]]:
    """Index, final, empty of each answer."""
    return [(found.message.response_index, found.message.final, found.message.is_empty) for found in stage.answers]


def test_every_response_of_a_decoupled_step_makes_one_of_the_ensemble(stage: EnsembleStage) -> None:
    found = begin(stage)
    for index in range(2):
        stage.stream(found, index, outputs={"Y": ONE})
        stage.finish("b", {"Y": ONE})
    stage.stream(found, 2, final=True, is_empty=True)
    assert told(stage) == [(0, False, False), (1, False, False), (2, True, True)]
    assert stage.core.open_count == 0


def test_the_last_response_is_the_final_one_when_no_step_is_in_flight(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.stream(found, 0, outputs={"Y": ONE}, final=True)
    assert told(stage) == []
    stage.finish("b", {"Y": ONE})
    assert told(stage) == [(0, True, False)]


def test_a_decoupled_ensemble_may_give_no_response(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.stream(found, 0, final=True, is_empty=True)
    assert told(stage) == [(0, True, True)]
    assert stage.answer.message.error is None


def test_an_error_ends_the_ensemble_and_the_rest_of_the_stream_is_cancelled(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.stream(found, 0, outputs={"Y": ONE})
    stage.finish("b", error=(Code.INTERNAL, "no"))
    assert stage.cancelled == [found.request.counter]
    assert told(stage) == [(0, True, False)]
    assert stage.answer.message.error == (Code.INTERNAL, "in ensemble 'ens', no")
    assert stage.core.open_count == 0
    stage.stream(found, 1)
    assert stage.held == set()


def test_an_error_after_responses_is_the_last_response(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.stream(found, 0, outputs={"Y": ONE})
    stage.finish("b", {"Y": ONE})
    stage.stream(found, 1, error=(Code.INTERNAL, "no"), final=True)
    assert told(stage) == [(0, False, False), (1, True, False)]


# The pace.


def test_a_response_is_taken_when_what_was_made_of_it_was_taken(stage: EnsembleStage) -> None:
    """A slow client holds up the model: its credit is used up by what the client has not taken."""
    found = begin(stage)
    key = ("x-d", found.request.counter)
    stage.stream(found, 0)
    stage.stream(found, 1)
    assert key not in stage.taken
    stage.finish("b")
    assert key not in stage.taken
    stage.take(1, 0)
    assert stage.taken == {key: 0}
    assert stage.held == {("x-d", 2)}
    stage.finish("b")
    stage.take(1, 1)
    assert stage.taken == {key: 1}
    assert stage.held == set()


def test_responses_that_nobody_can_use_are_taken_at_once() -> None:
    """A step that reads an input of the ensemble as well runs for the first response alone."""
    config = ensemble(step("d", "X=IN", "Y=mid"), step("b", "X=mid Z=IN", "Y=OUT"), decoupled=True)
    stage = EnsembleStage(config, model("d", decoupled=True), model("b", "X Z"))
    found = begin(stage)
    for index in range(3):
        stage.stream(found, index)
    assert (len(stage.steps), stage.held) == (1, {("x-d", 1)})
    stage.finish("b", {"Y": ONE})
    stage.take(1, 0)
    assert stage.taken == {("x-d", found.request.counter): 2}


def test_a_bound_on_what_is_in_flight_holds_up_the_model_too() -> None:
    config = ensemble(step("d", "X=IN", "Y=mid"), step("b", "X=mid", "Y=OUT"), decoupled=True, limit=1)
    stage = EnsembleStage(config, model("d", decoupled=True), model("b"), instances=2)
    found = begin(stage)
    for index in range(3):
        stage.stream(found, index)
    assert len(stage.steps) == 1
    assert stage.taken == {}


# What gets lost.


def test_responses_come_in_order_and_once(stage: EnsembleStage) -> None:
    found = begin(stage)
    first, second = stage.response(found, index=0, final=False), stage.response(found, index=1, final=False)
    asked = Tell("x-d", Resend(V1, OWN, found.request.counter))
    assert stage.give(found, *second) == [asked]
    assert stage.held == {("x-d", 1), ("x-d", 2)}, "what came too early comes again, and is not released"
    for message in (first, first, second, second):
        stage.give(found, *message)
    for _ in range(2):
        stage.finish("b", {"Y": ONE})
    assert told(stage) == [(0, False, False), (1, False, False)]


def test_a_response_that_comes_again_is_confirmed_again(stage: EnsembleStage) -> None:
    found = begin(stage)
    first = stage.response(found, {"Y": ONE}, index=0, final=False)
    stage.give(found, *first)
    stage.finish("b", {"Y": ONE})
    stage.take(1, 0)
    stage.taken.clear()
    stage.give(found, *first)
    assert stage.taken == {("x-d", found.request.counter): 0}


def test_a_stream_that_goes_on_for_long_is_asked_after_and_left_alone(stage: EnsembleStage) -> None:
    found = begin(stage)
    asked = Tell("x-d", Resend(V1, OWN, found.request.counter))
    stage.stream(found, 0, outputs={"Y": ONE})
    stage.finish("b", {"Y": ONE})
    stage.take(1, 0)
    assert set(stage.wait(60 * S)) == {asked}
    assert stage.handle(LinkChanged("x-d")) == [asked]
    assert stage.core.open_count == 1


def test_a_stream_whose_executor_ended_fails_at_once(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.stream(found, 0)
    stage.finish("b", {"Y": ONE})
    stage.kill("d")
    assert told(stage) == [(0, False, False), (1, True, False)]
    error = stage.answers[1].message.error
    assert error is not None and error[0] == Code.UNAVAILABLE


def test_a_step_that_gave_no_response_before_its_executor_died_is_tried_again(stage: EnsembleStage) -> None:
    stage.ask(1, IN=ONE)
    first = stage.at("d")
    stage.kill("d", first)
    stage.add_instance("d")
    assert stage.at("d").request.counter == first.request.counter
    assert stage.at("d").request.deaths == ("signal 9",)


def test_answers_are_given_again_to_who_asks(stage: EnsembleStage) -> None:
    found = begin(stage)
    for index in range(2):
        stage.stream(found, index, outputs={"Y": ONE})
        stage.finish("b", {"Y": ONE})
    stage.take(1, 0)
    before = len(stage.answers)
    stage.handle(RepeatAsked(SUBMITTER, 1))
    assert [answer.message.response_index for answer in stage.answers[before:]] == [1]


def test_who_asks_for_answers_that_are_not_kept_hears_that_it_is_over(stage: EnsembleStage) -> None:
    stage.handle(RepeatAsked(SUBMITTER, 1))
    message = stage.answer.message
    assert (message.response_index, message.final) == (OUT_OF_ORDER, True)
    assert message.error is not None and message.error[0] == Code.UNAVAILABLE


def test_a_client_that_leaves_ends_the_stream(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.stream(found, 0)
    stage.finish("b")
    stage.cancel(1)
    assert stage.cancelled == [found.request.counter]
    assert (stage.held, stage.core.open_count) == (set(), 0)


def test_a_stream_that_nobody_knows_is_cancelled(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.cancel(1)
    stage.cancelled.clear()
    stage.stream(found, 0)
    assert stage.cancelled == [found.request.counter]
    assert stage.held == set()


# Nested.


def test_the_stream_of_an_inner_ensemble_goes_on_in_the_outer_one() -> None:
    inner = ensemble(step("d", "X=IN", "Y=OUT"), name="inner", decoupled=True)
    outer = ensemble(step("inner", "IN=IN", "OUT=mid"), step("b", "X=mid", "Y=OUT"), decoupled=True)
    stage = EnsembleStage(outer, inner, model("d", decoupled=True), model("b"))
    found = begin(stage)
    key = ("x-d", found.request.counter)
    for index in range(2):
        stage.stream(found, index)
    stage.finish("b")
    assert key not in stage.taken
    stage.take(1, 0)
    assert stage.taken[key] == 0
    stage.finish("b")
    stage.stream(found, 2, final=True, is_empty=True)
    stage.take(1, 2)
    assert told(stage) == [(0, False, False), (1, False, False), (2, True, True)]
    assert (stage.held, stage.core.open_count, stage.taken[key]) == (set(), 0, 2)


def test_a_large_intermediate_lies_where_it_was_made(stage: EnsembleStage) -> None:
    found = begin(stage)
    stage.stream(found, 0, outputs={"Y": LARGE_NBYTES})
    assert stage.at("b").inputs["X"].nbytes == LARGE_NBYTES
