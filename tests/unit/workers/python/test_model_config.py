from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal.workers.python.model_config import ModelConfig

INPUT = {"name": "X", "data_type": "TYPE_FP32", "dims": [-1]}


def config(**fields: Any) -> ModelConfig:
    return ModelConfig({"name": "m", "max_batch_size": 0, "input": [], "output": []} | fields)


def test_an_empty_configuration_is_completed() -> None:
    completed = ModelConfig({"name": "m"})
    completed.set_max_batch_size(6)
    completed.set_dynamic_batching()
    completed.add_input(INPUT | {"optional": True})
    completed.add_output(INPUT)
    completed.set_model_transaction_policy({"decoupled": True})
    assert completed.as_dict() == {
        "name": "m",
        "max_batch_size": 6,
        "dynamic_batching": {},
        "input": [INPUT | {"optional": True}],
        "output": [INPUT],
        "model_transaction_policy": {"decoupled": True},
    }


def test_the_given_configuration_is_left_alone() -> None:
    raw: dict[str, Any] = {"name": "m", "max_batch_size": 0, "input": [], "output": []}
    ModelConfig(raw).add_input(INPUT)
    assert raw["input"] == []


def test_what_agrees_with_the_configuration_is_accepted() -> None:
    same = config(
        max_batch_size=4,
        dynamic_batching={"preferred_batch_size": [2]},
        input=[INPUT | {"format": "FORMAT_NONE"}],
        model_transaction_policy={"decoupled": False},
    )
    same.set_max_batch_size(4)
    same.set_dynamic_batching()
    same.add_input(INPUT)
    same.set_model_transaction_policy({"decoupled": False})
    assert same.as_dict()["dynamic_batching"] == {"preferred_batch_size": [2]}
    assert same.as_dict()["input"] == [INPUT | {"format": "FORMAT_NONE"}]


def test_an_entry_without_datatype_or_dims_takes_the_models() -> None:
    open_entry = config(output=[{"name": "X", "data_type": "TYPE_INVALID", "dims": []}])
    open_entry.add_output(INPUT)
    assert open_entry.as_dict()["output"] == [INPUT]


Completion = Callable[[ModelConfig], None]


@pytest.mark.parametrize(
    ("fields", "complete", "text"),
    [
        (
            {"max_batch_size": 8},
            lambda c: c.set_max_batch_size(4),
            "configuration specified max_batch_size 8, but in auto-complete-config function for model 'm' specified "
            "max_batch_size 4",
        ),
        (
            {"sequence_batching": {}},
            lambda c: c.set_dynamic_batching(),
            "Configuration specified scheduling_choice as 'sequence_batching', but auto-complete-config function for "
            "model 'm' tries to set scheduling_choice as 'dynamic_batching'",
        ),
        (
            {"input": [INPUT]},
            lambda c: c.add_input(INPUT | {"data_type": "TYPE_INT8"}),
            "unable to load model 'm', configuration expects datatype TYPE_FP32 for input 'X', model provides "
            "TYPE_INT8",
        ),
        (
            {"output": [INPUT | {"dims": [4]}]},
            lambda c: c.add_output(INPUT),
            "model 'm', tensor 'X': the model expects dims [-1] but the model configuration specifies dims [4]",
        ),
        (
            {"model_transaction_policy": {"decoupled": False}},
            lambda c: c.set_model_transaction_policy({"decoupled": True}),
            "trying to change decoupled property in auto-complete-config for model 'm', which is already set to "
            "'False'.",
        ),
        (
            {},
            lambda c: c.set_model_transaction_policy({"coupled": True}),
            "model transaction policy in auto-complete-config function for model 'm' contains property 'coupled' other "
            "than 'decoupled'.",
        ),
        (
            {},
            lambda c: c.add_input(INPUT | {"reshape": {}}),
            "input 'X' in auto-complete-config function for model 'm' contains property 'reshape' other than 'name', "
            "'data_type', 'dims', 'optional'.",
        ),
        (
            {},
            lambda c: c.add_output({"data_type": "TYPE_FP32"}),
            "output in auto-complete-config function for model 'm' is missing 'name' property.",
        ),
        (
            {},
            lambda c: c.add_output({"name": "X", "dims": [1]}),
            "output 'X' in auto-complete-config function for model 'm' is missing 'data_type' property.",
        ),
        (
            {},
            lambda c: c.add_input({"name": "X", "data_type": "TYPE_FP32"}),
            "input 'X' in auto-complete-config function for model 'm' is missing 'dims' property.",
        ),
    ],
)
def test_contradictions_are_refused_in_tritons_words(fields: dict[str, Any], complete: Completion, text: str) -> None:
    with pytest.raises(ValueError) as refused:
        complete(config(**fields))
    assert str(refused.value) == text
