from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal.repository import validate_dynamic
from shoal.repository.config.json_form import JsonForm

Form = Callable[[str], JsonForm]


def texts(config: JsonForm) -> list[str]:
    rules = (validate_dynamic.preferred_sizes, validate_dynamic.priorities, validate_dynamic.preserved_order)
    return [problem.text for rule in rules for problem in rule(config)]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", []),
        ("dynamic_batching { }", []),
        ("dynamic_batching { preferred_batch_size: [ 1, 4 ] }", []),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 2"
            " priority_queue_policy { key: 1 value { } } }",
            [],
        ),
        ("dynamic_batching { preserve_ordering: true priority_levels: 1 default_priority_level: 1 }", []),
        (
            "dynamic_batching { preferred_batch_size: [ 0 ] }",
            ["dynamic batching preferred size must be positive for m"],
        ),
        (
            "dynamic_batching { preferred_batch_size: [ 5 ] }",
            ["dynamic batching preferred size must be <= max batch size for m"],
        ),
        (
            "dynamic_batching { priority_levels: 2 }",
            ["default priority level must be in range [1, 2] for m"],
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 3 }",
            ["default priority level must be in range [1, 2] for m"],
        ),
        (
            "dynamic_batching { priority_levels: 1 default_priority_level: 1"
            " priority_queue_policy { key: 2 value { } } }",
            ["priority queue policy must have priority level in range [1, 1] for m"],
        ),
        (
            "dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }",
            ["Only one priority level is allowed when 'preserve_ordering' is true for m"],
        ),
        (
            "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY } }",
            ["Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m"],
        ),
    ],
)
def test_dynamic_batching(form: Form, text: str, problems: list[str]) -> None:
    assert texts(form("max_batch_size: 4 " + text)) == problems


@pytest.mark.parametrize("max_batch_size", [0, 1])
def test_batches_of_one_are_legal(form: Form, max_batch_size: int) -> None:
    assert texts(form(f"max_batch_size: {max_batch_size} dynamic_batching {{ }}")) == []
