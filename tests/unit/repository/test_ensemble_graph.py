from __future__ import annotations

import pytest

from shoal.repository import ensemble_graph, validate
from shoal.repository.config.json_form import JsonForm
from shoal.repository.config.text import parse_text
from shoal.repository.normalize import normalize

A_TO_B = 'input { name: "A" data_type: TYPE_FP32 dims: -1 } output { name: "B" data_type: TYPE_FP32 dims: -1 }'


def model(name: str, text: str = A_TO_B) -> dict[str, JsonForm]:
    return {name: normalize(parse_text(f'name: "{name}" backend: "python" {text}', name))}


def ensemble(steps: str, text: str = "max_batch_size: 0", data_type: str = "TYPE_FP32", dims: str = "-1") -> JsonForm:
    return parse_text(
        f'name: "e" platform: "ensemble" {text} input {{ name: "IN" data_type: {data_type} dims: [ {dims} ] }}'
        f' output {{ name: "OUT" data_type: TYPE_FP32 dims: -1 }} ensemble_scheduling {{ {steps} }}',
        "e",
    )


def step(name: str, reads: dict[str, str], writes: dict[str, str]) -> str:
    inputs = " ".join(f'input_map {{ key: "{key}" value: "{value}" }}' for key, value in reads.items())
    outputs = " ".join(f'output_map {{ key: "{key}" value: "{value}" }}' for key, value in writes.items())
    return f'step {{ model_name: "{name}" model_version: -1 {inputs} {outputs} }}'


ONE = step("a", {"A": "IN"}, {"B": "OUT"})
BATCHING = model("a", "max_batch_size: 4 " + A_TO_B)


@pytest.mark.parametrize(
    ("config", "models", "problems"),
    [
        (ensemble(ONE), model("a"), []),
        (ensemble(ONE, "max_batch_size: 4"), BATCHING, []),
        (ensemble(ONE, dims="3"), model("a"), []),
        (
            ensemble(ONE),
            {},
            ["ensemble e contains models that are not available or ambiguous: a"],
        ),
        (
            ensemble(ONE, "max_batch_size: 8"),
            BATCHING,
            [
                "ensemble e allows maximum batch size 8, but it contains model a which only allows maximum batch size"
                " to be 4"
            ],
        ),
        (
            ensemble(ONE, data_type="TYPE_INT32"),
            model("a"),
            [
                "in ensemble e, ensemble tensor IN: inconsistent data type: TYPE_INT32 is inferred from model e while"
                " TYPE_FP32 is inferred from model a"
            ],
        ),
        (
            ensemble(ONE, dims="2, 2"),
            model("a"),
            [
                "in ensemble e, ensemble tensor IN: inconsistent shape: [2, 2] is inferred from model e while [-1] is"
                " inferred from model a"
            ],
        ),
        (
            ensemble(step("a", {"X": "IN", "A": "IN"}, {"B": "OUT"})),
            model("a"),
            ["ensemble e maps to non-existing input 'X' of model a"],
        ),
        (
            ensemble(ONE),
            model("a", A_TO_B + ' input { name: "Q" data_type: TYPE_FP32 dims: 1 }'),
            ["ensemble e does not map input 'Q' of model a"],
        ),
        (ensemble(ONE), model("a", A_TO_B + ' input { name: "Q" data_type: TYPE_FP32 dims: 1 optional: true }'), []),
    ],
)
def test_ensemble_against_its_models(config: JsonForm, models: dict[str, JsonForm], problems: list[str]) -> None:
    assert [problem.text for problem in validate.ensemble(config, models)] == problems


def test_ensembles_must_not_contain_themselves() -> None:
    one = {"e": ensemble(step("f", {"IN": "IN"}, {"OUT": "OUT"}))}
    other = {"f": ensemble(step("e", {"IN": "IN"}, {"OUT": "OUT"})) | {"name": "f"}}
    problems = list(ensemble_graph.circular_dependency(one["e"], one | other))
    assert [problem.text for problem in problems] == ["circular dependency between ensembles: e -> f -> e"]


def test_answers_of_two_decoupled_models_cannot_be_joined() -> None:
    decoupled = A_TO_B + " model_transaction_policy { decoupled: true }"
    models = model("s", decoupled) | model("t", decoupled) | model("j", A_TO_B.replace('"A"', '"P"'))
    steps = step("s", {"A": "IN"}, {"B": "x"}) + step("t", {"A": "IN"}, {"B": "y"})
    joined = ensemble(steps + step("j", {"P": "x", "Q": "y"}, {"B": "OUT"}))
    assert [problem.text for problem in ensemble_graph.decoupled_joins(joined, models)] == [
        "step 2 of ensemble 'e' receives inputs originated from different decoupled models"
    ]


def test_answers_of_one_decoupled_model_can_be_joined() -> None:
    models = model("s", A_TO_B + " model_transaction_policy { decoupled: true }") | model("j")
    joined = ensemble(step("s", {"A": "IN"}, {"B": "x", "C": "y"}) + step("j", {"P": "x", "Q": "y"}, {"B": "OUT"}))
    assert list(ensemble_graph.decoupled_joins(joined, models)) == []
