from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal.repository import validate_warmup
from shoal.repository.config.json_form import JsonForm

Form = Callable[[str], JsonForm]


def sample(tensor: str) -> str:
    return f'name: "s" batch_size: 1 inputs {{ key: "A" value {{ {tensor} }} }}'


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (sample("data_type: TYPE_FP32 dims: 2 zero_data: true"), []),
        (sample('data_type: TYPE_FP32 dims: 2 input_data_file: "f"'), []),
        (
            sample("dims: 2 zero_data: true"),
            ["warmup setting must specify 'data_type' for input 'A' for m"],
        ),
        (
            sample("data_type: TYPE_FP32 dims: 2"),
            ["warmup setting must specify 'zero_data', 'random_data' or 'input_data_file' for input 'A' for m"],
        ),
        (
            sample("data_type: TYPE_FP32 dims: -1 random_data: true"),
            ["warmup setting expects all variable-size dimensions are specified for input 'A' for m"],
        ),
        ('name: "s"', ["must specify 'inputs' in warmup setting 's' for m"]),
        (
            'inputs { key: "A" value { data_type: TYPE_FP32 dims: 1 zero_data: true } }',
            ["must specify 'name' in warmup setting for m"],
        ),
    ],
)
def test_warmup(form: Form, text: str, problems: list[str]) -> None:
    config = form(f"model_warmup {{ {text} }}")
    assert [problem.text for problem in validate_warmup.samples(config)] == problems
