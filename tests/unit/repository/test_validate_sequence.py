from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal.repository import validate_sequence
from shoal.repository.config.json_form import JsonForm

Form = Callable[[str], JsonForm]

TENSOR = "sequence batching control tensor 'C'"


def texts(config: JsonForm) -> list[str]:
    rules = (validate_sequence.controls, validate_sequence.strategy, validate_sequence.states)
    return [problem.text for rule in rules for problem in rule(config)]


def control(text: str, name: str = "C") -> str:
    return f'sequence_batching {{ control_input {{ name: "{name}" {text} }} }}'


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }", []),
        ("control { kind: CONTROL_SEQUENCE_END bool_false_true: [ false, true ] }", []),
        ("control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }", []),
        ("", [f"{TENSOR} must specify 'control' for m"]),
        (
            "control { kind: CONTROL_SEQUENCE_START }",
            [
                f"{TENSOR} must specify exactly one of 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for"
                " CONTROL_SEQUENCE_START for m"
            ],
        ),
        (
            "control { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 1 ] }",
            [f"{TENSOR} must specify 'fp32_false_true' with exactly 2 entries for CONTROL_SEQUENCE_READY for m"],
        ),
        (
            "control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 }",
            [
                f"{TENSOR} must specify 'data_type' as one of TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32,"
                " TYPE_STRING for CONTROL_SEQUENCE_CORRID for m"
            ],
        ),
        (
            "control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT32 int32_false_true: [ 0, 1 ] }",
            [f"{TENSOR} must not specify 'int32_false_true' for CONTROL_SEQUENCE_CORRID for m"],
        ),
        (
            "control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] },"
            " { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ]",
            [
                f"{TENSOR} must specify one control kind, got CONTROL_SEQUENCE_START, CONTROL_SEQUENCE_END for m",
            ],
        ),
    ],
)
def test_controls(form: Form, text: str, problems: list[str]) -> None:
    assert texts(form(control(text))) == problems


def test_control_needs_a_name(form: Form) -> None:
    text = control("control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }", name="")
    assert texts(form(text)) == ["sequence batching control tensor must have a name for m"]


def test_each_kind_is_allowed_once(form: Form) -> None:
    one = "control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] }"
    text = f'sequence_batching {{ control_input [ {{ name: "C" {one} }}, {{ name: "D" {one} }} ] }}'
    assert texts(form(text)) == ["sequence batching specifies multiple CONTROL_SEQUENCE_START tensors for m"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", []),
        ("direct { minimum_slot_utilization: 1 }", []),
        ("oldest { preferred_batch_size: [ 2, 4 ] }", []),
        (
            "direct { minimum_slot_utilization: 1.5 }",
            ["sequence batching minimum slot utilization must be in range [0.0, 1.0] for m"],
        ),
        (
            "oldest { preferred_batch_size: [ -1 ] }",
            ["sequence batching preferred batch size must be positive for m"],
        ),
        (
            "oldest { preferred_batch_size: [ 5 ] }",
            ["sequence batching preferred batch size must be <= max batch size for m"],
        ),
        (
            "oldest { max_candidate_sequences: -1 }",
            ["sequence batching max_candidate_sequences must be >= 0 for m"],
        ),
    ],
)
def test_strategies(form: Form, text: str, problems: list[str]) -> None:
    assert texts(form(f"max_batch_size: 4 sequence_batching {{ {text} }}")) == problems


STATE = 'input_name: "IN" output_name: "OUT" data_type: TYPE_FP32 dims: [ 2, -1 ]'
INITIAL = "initial state of sequence batching state 'IN'"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (STATE, []),
        (STATE + ' initial_state { name: "i" data_type: TYPE_FP32 dims: [ 2, 7 ] data_file: "f" }', []),
        (
            'output_name: "OUT" data_type: TYPE_FP32 dims: 1',
            ["sequence batching state '' must specify 'input_name' for m"],
        ),
        (
            'input_name: "IN" output_name: "OUT" dims: 1',
            ["sequence batching state 'IN' must specify 'data_type' for m"],
        ),
        (
            'input_name: "IN" output_name: "OUT" data_type: TYPE_FP32 dims: 0',
            [
                "sequence batching state 'IN' dimension must be integer >= 1, or -1 to indicate a variable-size"
                " dimension for m"
            ],
        ),
        (
            STATE + " initial_state { data_type: TYPE_INT32 dims: 2 }",
            [
                f"{INITIAL} must specify 'name' for m",
                f"{INITIAL} must specify 'zero_data' or 'data_file' for m",
                f"{INITIAL} has data_type TYPE_INT32, expected TYPE_FP32 for m",
                f"{INITIAL} has 1 dims, expected 2 for m",
            ],
        ),
        (
            STATE + ' initial_state { name: "i" data_type: TYPE_FP32 dims: [ 2, -1 ] zero_data: true }',
            [f"{INITIAL} must not have variable-size dims, got [2, -1] for m"],
        ),
        (
            STATE + ' initial_state { name: "i" data_type: TYPE_FP32 dims: [ 3, 1 ] zero_data: true }',
            [f"{INITIAL} has dims [3, 1], expected [2, -1] for m"],
        ),
        (
            STATE + ' initial_state [ { name: "i" data_type: TYPE_FP32 dims: [ 2, 1 ] zero_data: true },'
            ' { name: "j" data_type: TYPE_FP32 dims: [ 2, 1 ] zero_data: true } ]',
            [f"{INITIAL} can be specified only once, got 2 for m"],
        ),
    ],
)
def test_states(form: Form, text: str, problems: list[str]) -> None:
    assert texts(form(f"sequence_batching {{ state {{ {text} }} }}")) == problems


def test_state_names_are_used_once(form: Form) -> None:
    text = f"sequence_batching {{ state [ {{ {STATE} }}, {{ {STATE} }} ] }}"
    assert texts(form(text)) == [
        "sequence batching state name 'IN' can only be specified once for m",
        "sequence batching state name 'OUT' can only be specified once for m",
    ]
