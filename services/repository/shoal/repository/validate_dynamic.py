"""Rules for `dynamic_batching`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem

_WHERE = "dynamic_batching"


def preferred_sizes(config: JsonForm) -> Iterator[Problem]:
    where = (_WHERE, "preferred_batch_size")
    for size in config.get(_WHERE, {}).get("preferred_batch_size", ()):
        if size <= 0:
            yield Problem(f"dynamic batching preferred size must be positive for {config['name']}", where)
        elif size > config["max_batch_size"]:
            yield Problem(f"dynamic batching preferred size must be <= max batch size for {config['name']}", where)


def priorities(config: JsonForm) -> Iterator[Problem]:
    batching = config.get(_WHERE, {})
    levels = batching.get("priority_levels", 0)
    if not levels:
        return
    model, allowed = config["name"], f"[1, {levels}]"
    if not 1 <= batching["default_priority_level"] <= levels:
        yield Problem(f"default priority level must be in range {allowed} for {model}", (_WHERE, "priority_levels"))
    if any(not 1 <= int(level) <= levels for level in batching["priority_queue_policy"]):
        yield Problem(
            f"priority queue policy must have priority level in range {allowed} for {model}",
            (_WHERE, "priority_queue_policy"),
        )


def preserved_order(config: JsonForm) -> Iterator[Problem]:
    batching = config.get(_WHERE, {})
    if not batching.get("preserve_ordering"):
        return
    where = (_WHERE, "preserve_ordering")
    if batching["priority_levels"] > 1:
        yield Problem(
            f"Only one priority level is allowed when 'preserve_ordering' is true for {config['name']}", where
        )
    policies = [batching.get("default_queue_policy", {}), *batching["priority_queue_policy"].values()]
    if any(map(_delays, policies)):
        yield Problem(
            f"Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for {config['name']}",
            where,
        )


def _delays(policy: dict[str, Any]) -> bool:
    return policy.get("timeout_action") == "DELAY"
