from __future__ import annotations

from typing import Any

import pytest

from shoal.repository.config.text import parse_text
from shoal.repository.normalize import normalize


def normalised(text: str, gpus: tuple[int, ...] = ()) -> dict[str, Any]:
    return normalize(parse_text(f'name: "m" {text}', "m"), gpus)


def groups(text: str, gpus: tuple[int, ...] = ()) -> list[tuple[str, str, int, list[int]]]:
    found = normalised(text, gpus)["instance_group"]
    return [(group["name"], group["kind"], group["count"], group["gpus"]) for group in found]


@pytest.mark.parametrize(
    ("text", "gpus", "expected"),
    [
        ('backend: "python"', (), [("m", "KIND_CPU", 1, [])]),
        ('backend: "onnxruntime"', (), [("m", "KIND_CPU", 2, [])]),
        ('backend: "tensorflow"', (), [("m", "KIND_CPU", 2, [])]),
        ('backend: "onnxruntime"', (0, 1), [("m", "KIND_GPU", 1, [0, 1])]),
        ('backend: "onnxruntime" instance_group { count: 3 }', (), [("m_0", "KIND_CPU", 3, [])]),
        ('backend: "onnxruntime" instance_group { kind: KIND_MODEL }', (), [("m_0", "KIND_MODEL", 1, [])]),
        ('backend: "python" instance_group { gpus: 3 }', (0,), [("m_0", "KIND_CPU", 1, [])]),
        ('backend: "python" instance_group { gpus: 1 }', (0, 1), [("m_0", "KIND_GPU", 1, [1])]),
        ('backend: "python" instance_group { kind: KIND_GPU }', (), [("m_0", "KIND_GPU", 1, [])]),
        (
            'backend: "python" instance_group [ { name: "first" }, { kind: KIND_CPU count: -1 } ]',
            (),
            [("first", "KIND_CPU", 1, []), ("m_1", "KIND_CPU", 1, [])],
        ),
    ],
)
def test_instance_groups(text: str, gpus: tuple[int, ...], expected: list[tuple[str, str, int, list[int]]]) -> None:
    assert groups(text, gpus) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"latest": {"num_versions": 1}}),
        ("version_policy { }", {"latest": {"num_versions": 1}}),
        ("version_policy { latest { } }", {"latest": {"num_versions": 0}}),
        ("version_policy { all { } }", {"all": {}}),
    ],
)
def test_version_policy(text: str, expected: dict[str, Any]) -> None:
    assert normalised(text)["version_policy"] == expected


@pytest.mark.parametrize(
    ("text", "preferred"),
    [
        ("max_batch_size: 8 dynamic_batching { }", [8]),
        ("max_batch_size: 8 dynamic_batching { preferred_batch_size: 2 }", [2]),
        ("dynamic_batching { }", []),
    ],
)
def test_preferred_batch_size(text: str, preferred: list[int]) -> None:
    assert normalised(text)["dynamic_batching"]["preferred_batch_size"] == preferred


def test_no_scheduler_stays_no_scheduler() -> None:
    assert "dynamic_batching" not in normalised("max_batch_size: 8")


def test_sequences_get_the_direct_strategy_and_an_idle_time() -> None:
    assert normalised("sequence_batching { }")["sequence_batching"] == {
        "direct": {"max_queue_delay_microseconds": 0, "minimum_slot_utilization": 0.0},
        "max_sequence_idle_microseconds": 1_000_000,
        "control_input": [],
        "state": [],
        "iterative_sequence": False,
    }


def test_oldest_strategy_prefers_full_batches() -> None:
    found = normalised("max_batch_size: 4 sequence_batching { oldest { } }")["sequence_batching"]
    assert found["oldest"]["preferred_batch_size"] == [4]
    assert "direct" not in found


def test_pinned_memory_is_on_unless_switched_off() -> None:
    found = normalised("optimization { output_pinned_memory { enable: false } }")["optimization"]
    assert found["input_pinned_memory"] == {"enable": True}
    assert found["output_pinned_memory"] == {"enable": False}


def test_ensembles_get_no_instances() -> None:
    found = normalised('platform: "ensemble" ensemble_scheduling { }')
    assert found["instance_group"] == []
    assert "optimization" not in found


def test_the_original_is_left_alone() -> None:
    config = parse_text('name: "m" instance_group { }', "m")
    normalize(config)
    assert config["instance_group"][0]["name"] == ""
