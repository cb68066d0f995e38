from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from shoal.core.errors import InternalError
from shoal.repository import completion
from shoal.repository.config.json_form import JsonForm

Form = Callable[[str], JsonForm]


def test_open_fields_may_be_filled_in(form: Form) -> None:
    config = form("")
    answer = config | {
        "max_batch_size": 6,
        "input": [{"name": "A", "data_type": "TYPE_FP32", "dims": [-1]}],
        "output": [{"name": "B", "data_type": "TYPE_FP32", "dims": [-1]}],
        "dynamic_batching": {},
        "model_transaction_policy": {"decoupled": True},
    }
    accepted = completion.accept(config, json.dumps(answer))
    assert accepted["max_batch_size"] == 6
    assert accepted["input"][0]["allow_ragged_batch"] is False
    assert accepted["dynamic_batching"]["max_queue_delay_microseconds"] == 0
    assert accepted["model_transaction_policy"] == {"decoupled": True}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"backend": "other"}, "backend changed 'backend' of the configuration of model 'm'"),
        ({"parameters": {"a": {"string_value": "b"}}}, "backend changed 'parameters'"),
        ({"response_cache": {"enable": True}}, "backend changed 'response_cache'"),
        ({"no_such_field": 1}, "backend of model 'm' answered: model configuration is not valid"),
    ],
)
def test_other_fields_are_closed(form: Form, change: dict[str, Any], error: str) -> None:
    config = form("")
    with pytest.raises(InternalError, match=error):
        completion.accept(config, json.dumps(config | change))


def test_the_scheduler_cannot_be_replaced(form: Form) -> None:
    config = form("dynamic_batching { }")
    answer = {name: value for name, value in config.items() if name != "dynamic_batching"}
    with pytest.raises(
        InternalError, match="replaced scheduler 'dynamic_batching' of model 'm' by 'sequence_batching'"
    ):
        completion.accept(config, json.dumps(answer | {"sequence_batching": {}}))
