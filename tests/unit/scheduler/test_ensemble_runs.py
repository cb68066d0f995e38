"""Ensembles through the whole core, from the request to the answer. Rules: scheduling.md 5."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble_stage import HOST, LARGE_NBYTES, EnsembleStage, ensemble, line, model, step
from scheduler_stage import MS, OWN, SUBMITTER, S
from shoal.core.errors import Code
from shoal.core.messages import (
    SEQUENCE_END,
    SEQUENCE_START,
    V1,
    BatchQuery,
    Closed,
    InferResponse,
    ReconcileReply,
    Resend,
    Timings,
)
from shoal.core.tensors import ArenaRef
from shoal.scheduler.actions import CountAnswer, CountExecution, Tell
from shoal.scheduler.events import (
    HoldsAsked,
    HostChanged,
    InstanceDraining,
    LinkChanged,
    ModelConfigured,
    ModelRemoved,
    ReconcileAsked,
    StepResponse,
    StepsAnswered,
    SubmitterLeft,
)

ONE = b"\0\0\x80\x3f"
TWO = ONE * 2


def error_of(stage: EnsembleStage) -> tuple[int, str]:
    error = stage.answer.message.error
    assert error is not None
    return error


def outputs(message: InferResponse) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tensor.shape for tensor in message.outputs}


@pytest.fixture
def two() -> EnsembleStage:
    """`a`, then `b`."""
    return EnsembleStage(line("a", "b"), model("a"), model("b"))


# The flow of tensors.


def test_a_step_gets_the_bytes_of_the_one_before_it_and_nobody_looks_into_them(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    assert (two.at("a").payload, two.at("a").request.inputs[0].name) == (ONE, "X")
    two.finish("a", {"Y": TWO})
    assert (two.at("b").payload, two.at("b").request.inputs[0].shape) == (TWO, (2,))
    two.finish("b", {"Y": ONE})
    answer = two.answer
    assert (answer.to, answer.message.counter, answer.message.final, answer.buffers) == (SUBMITTER, 1, True, (ONE,))
    assert outputs(answer.message) == {"OUT": (1,)}
    assert two.core.open_count == 0


def test_a_step_reads_what_lies_in_shared_memory_where_it_lies(two: EnsembleStage) -> None:
    two.ask(1, IN=LARGE_NBYTES)
    (ref,) = two.at("a").inputs.values()
    assert isinstance(ref, ArenaRef) and ref.segment == "gateway"
    two.finish("a")
    (ref,) = two.at("b").inputs.values()
    assert isinstance(ref, ArenaRef) and ref.segment == "x-a"
    two.finish("b")
    (tensor,) = two.answer.message.outputs
    assert isinstance(tensor.ref, ArenaRef) and tensor.ref.segment == "x-b"


def test_steps_that_do_not_wait_for_one_another_run_side_by_side() -> None:
    stage = EnsembleStage(
        ensemble(step("a", "X=IN", "Y=left"), step("b", "X=IN", "Y=right"), step("c", "P=left Q=right", "Y=OUT")),
        *(model("a"), model("b"), model("c", "P Q")),
    )
    stage.ask(1, IN=ONE)
    assert [found.request.model for found in stage.steps] == ["a", "b"]
    stage.finish("b", {"Y": TWO})
    assert [found.request.model for found in stage.steps] == ["a"]
    stage.finish("a", {"Y": ONE})
    assert {tensor.name: tensor.shape for tensor in stage.at("c").request.inputs} == {"P": (1,), "Q": (2,)}
    stage.finish("c", {"Y": ONE})
    assert stage.answer.message.final


def test_steps_that_contribute_to_no_requested_output_do_not_run() -> None:
    config = ensemble(
        step("a", "X=IN", "Y=OUT"), step("b", "X=IN", "Y=mid"), step("c", "X=mid", "Y=MORE"), outputs="OUT MORE"
    )
    stage = EnsembleStage(config, model("a"), model("b"), model("c"))
    stage.arrive_with(1, {"IN": ONE}, outputs=("OUT",))
    assert [found.request.model for found in stage.steps] == ["a"]
    stage.finish("a", {"Y": ONE})
    assert outputs(stage.answer.message) == {"OUT": (1,)}
    stage.ask(2, IN=ONE)
    assert [found.request.model for found in stage.steps] == ["a", "b"]


def test_a_tensor_may_be_read_by_a_step_and_be_an_output_too() -> None:
    config = ensemble(step("a", "X=IN", "Y=MID"), step("b", "X=MID", "Y=OUT"), outputs="OUT MID")
    stage = EnsembleStage(config, model("a"), model("b"))
    stage.ask(1, IN=ONE)
    stage.finish("a")
    stage.finish("b")
    assert set(outputs(stage.answer.message)) == {"OUT", "MID"}
    stage.take(1)
    assert stage.held == set()


def test_an_output_may_be_an_input() -> None:
    config = ensemble(step("a", "X=IN", "Y=OUT"), inputs="IN", outputs="OUT IN")
    stage = EnsembleStage(config, model("a"))
    stage.ask(1, IN=TWO)
    stage.finish("a", {"Y": ONE})
    assert outputs(stage.answer.message) == {"OUT": (1,), "IN": (2,)}
    assert stage.answer.buffers == (ONE, TWO)


def test_a_step_runs_without_an_optional_input_that_was_not_given() -> None:
    config = ensemble(step("a", "X=IN Z=MORE", "Y=OUT"), inputs="IN", optional="MORE")
    stage = EnsembleStage(config, model("a", optional="Z"))
    stage.ask(1, IN=ONE)
    assert set(stage.at("a").inputs) == {"X"}
    stage.finish("a", {"Y": ONE})
    stage.ask(2, IN=ONE, MORE=TWO)
    assert set(stage.at("a").inputs) == {"X", "Z"}


def test_a_step_runs_without_an_optional_input_that_the_one_before_it_did_not_make() -> None:
    config = ensemble(step("a", "X=IN", "Y=left Z=right"), step("b", "X=left Z=right", "Y=OUT"))
    stage = EnsembleStage(config, model("a", outputs="Y Z"), model("b", optional="Z"))
    stage.ask(1, IN=ONE)
    stage.finish("a", {"Y": ONE, "Z": None})
    assert set(stage.at("b").inputs) == {"X"}


def test_a_step_that_needs_what_was_not_made_fails_the_ensemble() -> None:
    stage = EnsembleStage(line("a", "b"), model("a"), model("b"))
    stage.ask(1, IN=ONE)
    stage.finish("a", {"Y": None})
    code, text = error_of(stage)
    assert code == Code.INVALID_ARG
    assert text.startswith("in ensemble 'ens', [request id: <id_unknown>] expected 1 inputs but got 0 inputs for model")


def test_an_output_that_no_model_made_is_left_out() -> None:
    config = ensemble(step("a", "X=IN", "Y=OUT Z=MORE"), outputs="OUT MORE")
    stage = EnsembleStage(config, model("a", outputs="Y Z"))
    stage.ask(1, IN=ONE)
    stage.finish("a", {"Y": ONE, "Z": None})
    assert outputs(stage.answer.message) == {"OUT": (1,)}


def test_what_a_model_makes_beside_its_mapped_outputs_is_not_asked_for() -> None:
    stage = EnsembleStage(line("a"), model("a", outputs="Y Z"))
    stage.ask(1, IN=ONE)
    assert stage.at("a").request.outputs == ("Y",)


def test_an_ensemble_whose_output_nobody_made_because_its_steps_ended_is_a_deadlock() -> None:
    """Only a decoupled step ends without a response, in an ensemble that should have been decoupled."""
    stage = EnsembleStage(line("a"), model("a", decoupled=True))
    stage.arrive_with(1, {"IN": ONE}, request_id="r")
    found = stage.at("a")
    stage.done_with(found)
    stage.give(found, *stage.response(found, is_empty=True))
    assert error_of(stage) == (
        Code.INVALID_ARG,
        "in ensemble 'ens', [request id: r] unexpected deadlock, at least one output is not set while no more ensemble "
        "steps can be made",
    )


# Batches of one and none.


@pytest.mark.parametrize(
    ("shape", "limit", "expected"),
    [((2,), 4, (1, 2)), ((2, 3), 4, (2, 3))],
    ids=["a leading 1 is added to what matches", "what is batched already stays"],
)
def test_from_a_model_without_batching_to_one_with(
    shape: tuple[int, ...], limit: int, expected: tuple[int, ...]
) -> None:
    stage = EnsembleStage(line("a", "b"), model("a"), model("b", max_batch_size=limit))
    stage.ask(1, IN=ONE)
    data = ONE * (shape[0] * (shape[1] if len(shape) > 1 else 1))
    stage.finish("a", {"Y": data}, shapes={"Y": shape})
    found = stage.at("b").request
    assert (found.inputs[0].shape, found.batch_size) == (expected, expected[0])


def test_a_batch_of_one_loses_its_dimension_for_a_model_without_batching() -> None:
    stage = EnsembleStage(line("a", "b"), model("a", max_batch_size=4), model("b"))
    stage.ask(1, IN=ONE)
    assert stage.at("a").request.inputs[0].shape == (1, 1)
    stage.finish("a", {"Y": TWO}, shapes={"Y": (1, 2)})
    assert (stage.at("b").request.inputs[0].shape, stage.at("b").request.batch_size) == ((2,), 0)


def test_a_larger_batch_does_not_fit_a_model_without_batching() -> None:
    config = line("a", "b")
    stage = EnsembleStage(config, model("a", max_batch_size=4), model("b"))
    stage.ask(1, IN=ONE)
    stage.finish("a", {"Y": TWO}, shapes={"Y": (2, 1)})
    # The batch size that counts is that of the request, which was one: the dimension goes, and the bytes do not fit.
    assert "input byte size mismatch for input 'X' for model 'b'. Expected 4, got 8" in error_of(stage)[1]


def test_the_answer_of_a_batching_ensemble_has_the_batch_dimension() -> None:
    scheduling = line("a").raw["ensemble_scheduling"]
    stage = EnsembleStage(model("ens", "IN", "OUT", max_batch_size=4, ensemble_scheduling=scheduling), model("a"))
    stage.arrive_with(1, {"IN": ONE}, batch_size=1)
    assert stage.at("a").request.inputs[0].shape == (1,)
    stage.finish("a", {"Y": TWO})
    assert outputs(stage.answer.message) == {"OUT": (1, 2)}


# What steps inherit.


def test_steps_inherit_what_the_client_said_of_the_request(two: EnsembleStage) -> None:
    said: dict[str, Any] = {
        "request_id": "r7",
        "correlation_id": 5,
        "flags": SEQUENCE_START,
        "priority": 3,
        "timeout_us": 400,
        "parameters": {"temperature": 0.5},
        "traceparent": "00-1-2-01",
        "deadline_us": 9_000,
    }
    two.arrive_with(1, {"IN": ONE}, **said)
    two.pass_ns(4 * MS)
    two.finish("a", {"Y": ONE})
    found = two.at("b").request
    assert {name: getattr(found, name) for name in said} == said | {"deadline_us": 5_000}
    assert (found.submitter, found.version, found.generation, found.host) == (OWN, 1, "g", HOST)


def test_an_answer_tells_the_sequence_that_it_belongs_to(two: EnsembleStage) -> None:
    two.arrive_with(1, {"IN": ONE}, correlation_id="s7", flags=SEQUENCE_END)
    two.finish("a", {"Y": ONE})
    two.finish("b", {"Y": ONE})
    expected = {"sequence_id": "s7", "sequence_start": False, "sequence_end": True}
    assert two.answer.message.parameters == expected


def test_a_step_may_say_which_sequence_the_next_ones_belong_to(two: EnsembleStage) -> None:
    two.arrive_with(1, {"IN": ONE}, correlation_id=5, flags=SEQUENCE_END)
    two.finish("a", {"Y": ONE}, parameters={"sequence_id": 9, "sequence_start": True, "other": 1})
    assert (two.at("b").request.correlation_id, two.at("b").request.flags) == (9, SEQUENCE_START)
    two.finish("b", {"Y": ONE})
    expected = {"sequence_id": 9, "sequence_start": True, "sequence_end": False}
    assert two.answer.message.parameters == expected


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (
            {"sequence_id": True},
            "expected parameter 'sequence_id' to be TRITONSERVER_PARAMETER_INT or TRITONSERVER_PARAMETER_STRING",
        ),
        ({"sequence_end": 1}, "expect parameter 'sequence_end' to be TRITONSERVER_PARAMETER_BOOL"),
    ],
)
def test_what_a_step_says_of_the_sequence_must_be_of_the_right_type(
    two: EnsembleStage, parameters: dict[str, Any], text: str
) -> None:
    two.ask(1, IN=ONE)
    two.finish("a", {"Y": ONE}, parameters=parameters)
    assert error_of(two) == (Code.INVALID_ARG, f"in ensemble 'ens', {text}")


def test_answers_lie_in_the_message_when_an_executor_is_on_another_host(two: EnsembleStage) -> None:
    two.handle(HostChanged("x-far", "elsewhere"))
    two.ask(1, IN=ONE)
    assert two.at("a").request.host == ""
    two.handle(HostChanged("x-far", None))
    two.finish("a", {"Y": ONE})
    assert two.at("b").request.host == HOST


# Errors.


def test_the_error_of_a_step_is_the_ensembles_with_its_name(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.finish("a", error=(Code.INVALID_ARG, "refused the number"))
    assert error_of(two) == (Code.INVALID_ARG, "in ensemble 'ens', refused the number")
    assert two.answer.message.final
    assert not two.steps


def test_an_error_is_told_once_and_not_before_the_steps_in_flight_are_over() -> None:
    config = ensemble(step("a", "X=IN", "Y=OUT"), step("b", "X=IN", "Y=MORE"), outputs="OUT MORE")
    stage = EnsembleStage(config, model("a"), model("b"))
    stage.ask(1, IN=LARGE_NBYTES)
    stage.finish("a", error=(Code.INTERNAL, "one"))
    assert stage.answers == []
    stage.finish("b", error=(Code.INTERNAL, "two"))
    assert error_of(stage) == (Code.INTERNAL, "in ensemble 'ens', one")


def test_nothing_new_is_started_after_an_error() -> None:
    config = ensemble(
        step("a", "X=IN", "Y=mid"), step("b", "X=mid", "Y=OUT"), step("c", "X=IN", "Y=MORE"), outputs="OUT MORE"
    )
    stage = EnsembleStage(config, model("a"), model("b"), model("c"))
    stage.ask(1, IN=ONE)
    stage.finish("c", error=(Code.INTERNAL, "no"))
    stage.finish("a")
    assert (stage.steps, stage.held) == ([], set())
    assert error_of(stage) == (Code.INTERNAL, "in ensemble 'ens', no")


def test_a_tensor_that_does_not_fit_the_next_model_is_found_before_it_is_sent() -> None:
    three = [{"name": "X", "data_type": "TYPE_FP32", "dims": [3]}]
    stage = EnsembleStage(line("a", "b"), model("a"), model("b", input=three))
    stage.ask(1, IN=ONE)
    stage.finish("a", {"Y": TWO})
    assert not stage.steps
    text = "[request id: <id_unknown>] unexpected shape for input 'X' for model 'b'. Expected [3], got [2]. "
    assert error_of(stage) == (Code.INVALID_ARG, f"in ensemble 'ens', {text}")


def test_a_step_whose_model_is_gone_fails_the_ensemble(two: EnsembleStage) -> None:
    two.handle(ModelRemoved("b"))
    two.ask(1, IN=ONE)
    assert error_of(two) == (Code.NOT_FOUND, "in ensemble 'ens', Request for unknown model: 'b' is not found")


def test_a_refused_step_fails_the_ensemble() -> None:
    batching = {"default_queue_policy": {"max_queue_size": 1}}
    stage = EnsembleStage(line("a"), model("a", max_batch_size=1, dynamic_batching=batching))
    for counter in (1, 2, 3):
        stage.ask(counter, IN=ONE)
    assert stage.answer.message.counter == 3
    assert error_of(stage) == (
        Code.UNAVAILABLE,
        "in ensemble 'ens', [request id: <id_unknown>] Exceeds maximum queue size",
    )


def test_the_deadline_reaches_the_steps(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.ask(2, IN=ONE, deadline_us=50_000)
    two.wait(50 * MS)
    assert two.answer.message.counter == 2
    assert error_of(two)[1].startswith("in ensemble 'ens', deadline of 50 ms passed after 50 ms in the queue of 'a'")


# Nested ensembles.


@pytest.fixture
def nested() -> EnsembleStage:
    """`outer`, called `ens`, runs `inner` (`a`, `b`), then `c`."""
    inner = ensemble(step("a", "X=IN", "Y=m"), step("b", "X=m", "Y=OUT"), name="inner")
    outer = ensemble(step("inner", "IN=IN", "OUT=m"), step("c", "X=m", "Y=OUT"))
    return EnsembleStage(outer, inner, model("a"), model("b"), model("c"))


def test_a_step_may_be_an_ensemble(nested: EnsembleStage) -> None:
    nested.ask(1, IN=LARGE_NBYTES)
    for name in ("a", "b", "c"):
        nested.finish(name)
    assert outputs(nested.answer.message) == {"OUT": (LARGE_NBYTES // 4,)}
    assert nested.answer.to == SUBMITTER
    nested.take(1)
    assert (nested.held, nested.core.open_count) == (set(), 0)


def test_errors_bear_the_names_of_all_ensembles(nested: EnsembleStage) -> None:
    nested.ask(1, IN=ONE)
    nested.finish("a", error=(Code.INVALID_ARG, "refused the number"))
    assert error_of(nested) == (Code.INVALID_ARG, "in ensemble 'ens', in ensemble 'inner', refused the number")


def test_cancelling_reaches_the_steps_of_inner_ensembles(nested: EnsembleStage) -> None:
    nested.ask(1, IN=ONE)
    counter = nested.at("a").request.counter
    nested.cancel(1)
    assert nested.cancelled == [counter]
    nested.finish("a", {"Y": ONE})
    assert nested.core.open_count == 0
    assert nested.held == set()


# Batches.


def test_steps_of_several_requests_make_a_batch() -> None:
    batching = model("b", max_batch_size=4, dynamic_batching={})
    stage = EnsembleStage(line("a", "b"), model("a"), batching, instances=2)
    for counter in (1, 2):
        stage.ask(counter, IN=ONE)
    first, second = stage.steps
    stage.done_with(first)
    stage.done_with(second)
    responses = []
    for found in (first, second):
        message, payload = stage.response(found, {"Y": ONE})
        responses.append(StepResponse(found.executor, message, memoryview(payload)))
    stage.handle(StepsAnswered(tuple(responses)))
    assert [found.batch_id for found in stage.steps] == [stage.steps[0].batch_id] * 2


# Bounds on what is in flight.


def limited(limit: int = 1) -> EnsembleStage:
    config = ensemble(step("a", "X=IN", "Y=OUT"), limit=limit)
    return EnsembleStage(config, model("a"), instances=4)


def test_so_many_requests_of_a_step_are_in_flight_over_all_requests() -> None:
    stage = limited(2)
    for counter in (1, 2, 3):
        stage.ask(counter, IN=ONE)
    assert len(stage.steps) == 2
    stage.finish("a", {"Y": ONE})
    assert [answer.message.counter for answer in stage.answers] == [1]
    assert len(stage.steps) == 2


def test_a_cancelled_request_does_not_wait_for_others() -> None:
    stage = limited()
    stage.ask(1, IN=ONE)
    stage.ask(2, IN=ONE)
    stage.cancel(2)
    assert error_of(stage) == (Code.CANCELLED, "in ensemble 'ens', ")
    stage.finish("a", {"Y": ONE})
    assert (stage.steps, stage.core.open_count) == ([], 0)


def test_a_step_goes_ahead_after_five_minutes_and_it_is_logged() -> None:
    stage = limited()
    stage.ask(1, IN=ONE)
    stage.ask(2, IN=ONE)
    stage.wait(299 * S)
    assert len(stage.steps) == 1
    with pytest.raises(Exception, match="waited for 300 s while 1 requests for it were in flight, of 1 that max_infl"):
        stage.wait(2 * S)


def test_a_request_whose_deadline_passes_while_it_waits_for_others_is_over() -> None:
    stage = limited()
    stage.ask(1, IN=ONE)
    stage.ask(2, IN=ONE, deadline_us=20_000)
    stage.wait(20 * MS)
    assert "deadline of 20 ms passed after 20 ms" in error_of(stage)[1]


# Memory.


def test_an_intermediate_block_is_released_when_its_last_reader_is_done(two: EnsembleStage) -> None:
    two.ask(1, IN=LARGE_NBYTES)
    two.finish("a")
    assert two.held == {("x-a", 1)}
    two.finish("b")
    assert two.held == {("x-b", 2)}


def test_the_blocks_of_an_answer_are_released_when_it_was_taken(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.finish("a")
    two.finish("b")
    two.wait(4 * S)
    assert two.held == {("x-b", 2)}
    two.take(1)
    assert two.held == set()
    assert two.take(1) == []


def test_an_answer_that_is_not_confirmed_is_given_again(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.finish("a")
    two.finish("b")
    two.wait(6 * S)
    assert two.answers == [two.answers[0]] * 2
    two.take(1)
    two.wait(60 * S)
    assert len(two.answers) == 2


def test_the_blocks_of_an_answer_are_released_when_its_submitter_is_gone(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.finish("a")
    two.finish("b")
    two.handle(SubmitterLeft(SUBMITTER))
    assert two.held == set()


def test_blocks_that_come_twice_are_not_released_while_the_first_is_in_use(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    found = two.at("a")
    two.done_with(found)
    message, payload = two.response(found)
    two.give(found, message, payload)
    two.give(found, message, payload)
    assert two.held == {("x-a", 1)}


def test_a_response_that_nobody_waits_for_is_released_at_once(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    found = two.at("a")
    two.cancel(1)
    two.finish("a")
    assert two.held == set()
    two.give(found, *two.response(found))
    assert two.held == set()


def test_an_executor_that_asks_hears_which_blocks_are_not_used(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.finish("a")
    two.held.add(("x-a", 7))
    two.handle(HoldsAsked("x-a", (1, 7)))
    assert two.held == {("x-a", 1)}


def test_the_answer_is_given_when_nobody_reads_the_inputs_any_more(two: EnsembleStage) -> None:
    """An answer of ours tells a gateway that its inputs are free; a second execution may read them still."""
    two.ask(1, IN=LARGE_NBYTES)
    first = two.at("a")
    two.kill("a")  # it is believed so, and had not begun
    two.add_instance("a")
    second = two.at("a")
    two.finish("a", error=(Code.INTERNAL, "no"))
    assert two.answer.message.error is not None
    assert second.request.counter == first.request.counter


def test_inline_intermediates_are_bounded(two: EnsembleStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.scheduler.ensemble_responses.KEPT_LIMIT_NBYTES", 8)
    two.ask(1, IN=ONE)
    two.ask(2, IN=ONE)
    two.finish("a", {"Y": TWO})
    two.finish("a", {"Y": ONE})
    code, text = error_of(two)
    assert (code, two.answer.message.counter) == (Code.UNAVAILABLE, 2)
    assert text.startswith("in ensemble 'ens', the answer of model 'a' did not come in shared memory")
    two.finish("b", {"Y": ONE})
    two.take(1)
    two.ask(3, IN=ONE)
    two.finish("a", {"Y": TWO})
    assert two.at("b").payload == TWO


# Cancelling.


def test_cancelling_refuses_what_waits_and_tells_the_executors_of_the_rest(two: EnsembleStage) -> None:
    two.ask(1, IN=LARGE_NBYTES)
    two.ask(2, IN=LARGE_NBYTES)
    running = two.at("a").request.counter
    two.cancel(2)
    assert error_of(two) == (Code.CANCELLED, "in ensemble 'ens', ")
    two.cancel(1)
    assert two.cancelled == [running]
    assert len(two.answers) == 1, "the inputs of the other one are being read"
    two.finish("a")
    assert [answer.message.counter for answer in two.answers] == [2, 1]
    assert (two.held, two.core.open_count) == (set(), 0)


def test_a_submitter_that_is_gone_is_not_answered(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.handle(SubmitterLeft(SUBMITTER))
    two.finish("a")
    assert (two.answers, two.steps, two.held, two.core.open_count) == ([], [], set(), 0)


# Faults.


def test_a_step_whose_executor_died_is_tried_again_and_the_ensemble_is_not(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.finish("a", {"Y": TWO})
    first = two.at("b")
    two.kill("b", first)
    two.add_instance("b")
    again = two.at("b")
    assert (again.request.counter, again.payload) == (first.request.counter, TWO)
    two.finish("b", {"Y": ONE})
    assert two.answer.message.error is None


def test_the_submitter_remembers_what_the_steps_died_of(two: EnsembleStage) -> None:
    """After a takeover no step is tried more often than without one."""
    two.ask(1, IN=ONE)
    two.kill("a", two.at("a"))
    assert two.deaths == {1: ("signal 9",)}
    two.arrive_with(2, {"IN": ONE}, deaths=("an executor ended before the scheduler was replaced",))
    two.add_instance("a")
    two.finish("a", {"Y": ONE})
    assert two.at("a").request.deaths == ("an executor ended before the scheduler was replaced",)


def test_a_step_that_killed_two_executors_fails_the_ensemble(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    for _ in range(2):
        two.kill("a", two.at("a"))
        two.add_instance("a")
    code, text = error_of(two)
    assert code == Code.UNAVAILABLE
    assert text.startswith("in ensemble 'ens', model 'a' version 1: the executor ended during the execution")


def test_an_answer_that_died_with_its_executor_fails_the_ensemble_at_once(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.done_with(two.at("a"))
    two.kill("a")
    code, text = error_of(two)
    assert code == Code.UNAVAILABLE
    assert "its answer was lost with the process that held it" in text


def test_an_answer_that_got_lost_is_asked_for_after_trouble_on_a_link(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    found = two.at("a")
    two.done_with(found)
    assert two.handle(LinkChanged(None)) == [Tell("x-a", Resend(V1, OWN, found.request.counter))]


def test_an_answer_that_does_not_come_is_asked_for_in_time(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    found = two.at("a")
    two.done_with(found)
    assert two.wait(4 * S) == []
    assert two.wait(2 * S)[0] == Tell("x-a", Resend(V1, OWN, found.request.counter))


def test_a_step_that_executes_for_long_is_only_asked_after_at_its_executor(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    assert two.wait(6 * S)[0] == Tell("x-a", BatchQuery(V1, 1, (1,)))
    assert len(two.steps) == 1


def test_the_ensemble_is_known_while_it_runs_and_its_answer_afterwards(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    asked = ReconcileAsked(SUBMITTER, (1, 2))
    assert two.handle(asked) == [Tell(SUBMITTER, ReconcileReply(V1, 1, (2,), ()))]
    two.finish("a", {"Y": ONE})
    two.finish("b", {"Y": ONE})
    two.handle(asked)
    assert len(two.answers) == 2
    two.take(1)
    two.handle(asked)
    assert len(two.answers) == 2


def test_an_ensemble_that_is_sent_twice_runs_once(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.ask(1, IN=ONE)
    assert len(two.steps) == 1
    two.finish("a", {"Y": ONE})
    two.finish("b", {"Y": ONE})
    two.ask(1, IN=ONE)
    assert (len(two.steps), len(two.answers)) == (0, 2)


def test_inputs_that_are_asked_after_are_closed_when_the_ensemble_is_over(two: EnsembleStage) -> None:
    closing = ReconcileAsked(SUBMITTER, (), (1,))
    two.ask(1, IN=LARGE_NBYTES)
    two.cancel(1)
    assert Tell(SUBMITTER, Closed(V1, (1,))) not in two.handle(closing)
    two.finish("a")
    assert Tell(SUBMITTER, Closed(V1, (1,))) in two.handle(closing)


# Versions.


def test_the_highest_version_that_can_serve_is_chosen() -> None:
    stage = EnsembleStage(line("a"))
    stage.handle(ModelConfigured("a", "g", {1: model("a"), 2: model("a"), 3: model("a")}))
    for version in (1, 2):
        stage.add_instance("a", slot=version, version=version)
    stage.ask(1, IN=ONE)
    assert stage.at("a").request.version == 2


def test_a_version_that_is_named_is_taken() -> None:
    stage = EnsembleStage(ensemble(step("a", "X=IN", "Y=OUT", version=1)))
    stage.handle(ModelConfigured("a", "g", {1: model("a"), 2: model("a")}))
    for version in (1, 2):
        stage.add_instance("a", slot=version, version=version)
    stage.ask(1, IN=ONE)
    assert stage.at("a").request.version == 1


def test_a_request_stays_with_the_generation_that_it_began_with(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.handle(ModelConfigured("b", "new", {1: model("b")}))
    two.add_instance("b", slot=1, generation="new")
    two.finish("a", {"Y": ONE})
    assert two.at("b").request.generation == "g"
    two.finish("b", {"Y": ONE})
    two.ask(2, IN=ONE)
    two.finish("a", {"Y": ONE})
    assert two.at("b").request.generation == "new"


def test_a_generation_that_is_gone_is_replaced_by_the_one_that_took_its_place(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.handle(ModelConfigured("b", "new", {1: model("b")}))
    two.handle(InstanceDraining("x-b", 0))
    two.add_instance("b", slot=1, generation="new")
    two.finish("a", {"Y": ONE})
    assert two.at("b").request.generation == "new"
    two.finish("b", {"Y": ONE})
    assert two.answer.message.error is None


def test_a_step_that_waits_for_a_generation_that_goes_is_made_anew(two: EnsembleStage) -> None:
    for counter in (1, 2):
        two.ask(counter, IN=ONE)
        two.finish("a", {"Y": ONE})
    two.handle(ModelConfigured("b", "new", {1: model("b")}))
    two.handle(InstanceDraining("x-b", 0))
    two.add_instance("b", slot=1, generation="new")
    assert [found.request.generation for found in two.steps] == ["g", "new"]


# Statistics.


def test_an_ensemble_counts_the_sums_of_its_steps_and_the_steps_for_themselves(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.pass_ns(3)
    two.finish("a", {"Y": ONE}, timings=Timings(1, 10, 20, 30))
    two.finish("b", {"Y": ONE}, timings=Timings(2, 1, 2, 3))
    assert two.answer.message.timings == Timings(1, 11, 22, 33)
    first, second, execution = two.counts
    assert isinstance(first, CountAnswer) and isinstance(second, CountAnswer)
    assert (first.key, first.elapsed_ns, first.is_ensemble) == (("a", 1, "g"), 3, False)
    assert second.key == ("b", 1, "g")
    assert execution == CountExecution(("ens", 1, "g"), 1, Timings(1, 11, 22, 33))


def test_a_failed_ensemble_counts_no_execution(two: EnsembleStage) -> None:
    two.ask(1, IN=ONE)
    two.finish("a", error=(Code.INTERNAL, "no"), timings=Timings(1, 10, 20, 30))
    (only,) = two.counts
    assert isinstance(only, CountAnswer)
    message = two.answer.message
    assert (message.executed, message.timings) == (True, Timings(1, 10, 20, 30))


def test_a_refusal_is_answered_as_not_executed(two: EnsembleStage) -> None:
    two.handle(ModelRemoved("a"))
    two.ask(1, IN=ONE)
    assert not two.answer.message.executed
