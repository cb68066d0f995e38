from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal.repository import validate_ensemble
from shoal.repository.config.json_form import JsonForm

Form = Callable[[str], JsonForm]

IO = (
    'platform: "ensemble" input { name: "IN" data_type: TYPE_FP32 dims: 1 }'
    ' output { name: "OUT" data_type: TYPE_FP32 dims: 1 } '
)
RULES = (
    validate_ensemble.scheduling,
    validate_ensemble.forbidden_fields,
    validate_ensemble.steps,
    validate_ensemble.flow,
    validate_ensemble.circular,
)


def step(model: str, reads: str, writes: str) -> str:
    """A step whose model's tensors are named as the ensemble's."""
    inputs = " ".join(f'input_map {{ key: "{name}" value: "{name}" }}' for name in reads.split())
    outputs = " ".join(f'output_map {{ key: "{name}" value: "{name}" }}' for name in writes.split())
    return f'step {{ model_name: "{model}" {inputs} {outputs} }}'


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (IO + f"ensemble_scheduling {{ {step('a', 'IN', 'mid')} {step('b', 'mid', 'OUT')} }}", []),
        (IO + f"ensemble_scheduling {{ {step('b', 'mid', 'OUT')} {step('a', 'IN', 'mid')} }}", []),
        ('platform: "ensemble"', ["ensemble scheduling must be set for ensemble 'm' whose platform is ensemble"]),
        (
            'backend: "python" ensemble_scheduling { }',
            [
                "ensemble scheduling cannot be set for model 'm' whose platform is not ensemble",
                "must specify 'step' for ensemble 'm'",
            ],
        ),
        (
            IO + f"instance_group {{ count: 1 }} ensemble_scheduling {{ {step('a', 'IN', 'OUT')} }}",
            ["instance_group should not be specified for ensemble 'm'"],
        ),
        (
            IO + f"optimization {{ eager_batching: true }} ensemble_scheduling {{ {step('a', 'IN', 'OUT')} }}",
            ["optimization should not be specified for ensemble 'm'"],
        ),
        (
            IO + f"ensemble_scheduling {{ {step('a', 'IN', 'OUT x')} }}",
            ["ensemble tensor 'x' is unused in ensemble 'm'"],
        ),
        (
            IO + f"ensemble_scheduling {{ {step('a', 'IN', 'OUT')} {step('b', 'IN', 'OUT')} }}",
            ["ensemble tensor 'OUT' is written more than once in ensemble 'm'"],
        ),
        (
            IO + f"ensemble_scheduling {{ {step('a', 'IN x', 'OUT')} }}",
            ["ensemble tensor 'x' is read but never written in ensemble 'm'"],
        ),
        (
            IO + f"ensemble_scheduling {{ {step('a', 'IN x', 'y')} {step('b', 'y', 'OUT x')} }}",
            ["steps of ensemble 'm' wait for one another's outputs: a, b"],
        ),
    ],
)
def test_ensembles(form: Form, text: str, problems: list[str]) -> None:
    config = form(text)
    assert [problem.text for rule in RULES for problem in rule(config)] == problems


def test_steps_must_be_complete(form: Form) -> None:
    config = form(IO + 'ensemble_scheduling { step { model_name: "a" output_map { key: "" value: "OUT" } } }')
    assert [problem.text for problem in validate_ensemble.steps(config)] == [
        "must specify 'input_map' in step 0 of ensemble 'm'",
        "output_map of step 0 of ensemble 'm' must name a tensor of the model and a tensor of the ensemble",
    ]


def test_there_must_be_a_step(form: Form) -> None:
    config = form(IO + "ensemble_scheduling { }")
    assert [problem.text for problem in validate_ensemble.steps(config)] == ["must specify 'step' for ensemble 'm'"]


def test_every_output_is_written(form: Form) -> None:
    config = form(IO + f"ensemble_scheduling {{ {step('a', 'IN', 'mid')} }}")
    assert [problem.text for problem in validate_ensemble.flow(config)] == [
        "ensemble output 'OUT' is written by no step of ensemble 'm'",
        "ensemble tensor 'mid' is unused in ensemble 'm'",
    ]
