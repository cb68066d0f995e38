"""Rules for the `parameters` that are Shoal's own; all others are the model's business."""

from __future__ import annotations

from collections.abc import Iterator

from shoal.core import process_policy
from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem


def values(config: JsonForm) -> Iterator[Problem]:
    parameters = _parameters(config)
    for name, text in process_policy.problems(config["name"], parameters):
        yield Problem(text, ("parameters", name))


def recycled_sequences(config: JsonForm) -> Iterator[Problem]:
    """A sequence's state lives in the process that began it, so that process cannot be replaced under it."""
    if "sequence_batching" not in config:
        return
    for name in process_policy.RECYCLING:
        if name in config["parameters"]:
            text = f"parameter '{name}' of model '{config['name']}' cannot be used with sequence_batching; remove one"
            yield Problem(text, ("parameters", name))


def _parameters(config: JsonForm) -> dict[str, str]:
    return {name: value.get("string_value", "") for name, value in config["parameters"].items()}
