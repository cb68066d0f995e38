from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal.repository import validate_model
from shoal.repository.config.json_form import JsonForm

Form = Callable[[str], JsonForm]


def texts(config: JsonForm) -> list[str]:
    rules = (validate_model.backend, validate_model.max_batch_size, validate_model.response_cache)
    found = [problem.text for rule in rules for problem in rule(config)]
    return found + [problem.text for problem in validate_model.model_metrics(config)]


@pytest.mark.parametrize(
    "text",
    [
        'backend: "python"',
        'backend: "python" platform: "anything"',
        'backend: "mine" platform: "mine_too"',
        'backend: "onnxruntime" platform: "onnxruntime_onnx"',
        'backend: "pytorch" platform: "libtorch"',
        'backend: "pytorch" platform: "torch_aoti"',
        'platform: "ensemble"',
        "max_batch_size: 7 response_cache { enable: true }",
        "sequence_batching { } response_cache { enable: false }",
        'model_metrics { metric_control { metric_identifier { family: "f" } histogram_options { buckets: 1 } } }',
    ],
)
def test_sound_configurations_pass(form: Form, text: str) -> None:
    assert texts(form(text)) == []


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('platform: "no_such"', ["unexpected platform type 'no_such' for m"]),
        (
            'backend: "python" platform: "ensemble"',
            ["Ensemble model 'm' must have platform type 'ensemble' and empty backend type"],
        ),
        (
            'backend: "onnxruntime" platform: "tensorrt_plan"',
            ["unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime"],
        ),
        ('backend: "tensorflow"', ["unexpected 'platform' and 'backend' pair, got:, tensorflow"]),
        (
            'backend: "python" platform: "onnxruntime_onnx"',
            ["unexpected 'platform' and 'backend' pair, got:onnxruntime_onnx, python"],
        ),
        ("max_batch_size: -1", ["'max_batch_size' must be non-negative value for m"]),
        (
            "sequence_batching { } response_cache { enable: true }",
            [
                "Response Cache does not currently support model m with sequence batching scheduler. Please disable"
                " the response cache."
            ],
        ),
        (
            "model_transaction_policy { decoupled: true } response_cache { enable: true }",
            [
                "Response Cache does not currently support model m with 'decoupled' transaction policy. Please disable"
                " the response cache."
            ],
        ),
        (
            "model_metrics { metric_control { } }",
            ["metric control must specify 'metric_identifier'", "metric control must specify 'histogram_options'"],
        ),
        (
            "model_metrics { metric_control { metric_identifier { } histogram_options { } } }",
            [
                "metric identifier must specify non-empty 'family'",
                "histogram options must specify non-empty 'buckets'",
            ],
        ),
    ],
)
def test_each_mistake_has_its_text(form: Form, text: str, problems: list[str]) -> None:
    assert texts(form(text)) == problems


def test_backend_and_platform_must_not_both_be_missing(form: Form) -> None:
    config = form("") | {"backend": ""}
    assert texts(config) == ["must specify 'platform' or 'backend' for 'm'"]


def test_name_must_be_the_directory(form: Form) -> None:
    assert [problem.text for problem in validate_model.name(form(""), "other")] == [
        "unexpected directory name 'other' for model 'm', directory name must equal model name"
    ]
    assert list(validate_model.name(form(""), "m")) == []
