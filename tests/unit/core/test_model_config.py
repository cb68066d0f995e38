from __future__ import annotations

import pytest

from shoal.core.model_config import (
    DynamicBatching,
    InstanceGroup,
    ModelInput,
    ModelOutput,
    QueuePolicy,
    from_json,
)


def test_absent_fields_take_protobufs_defaults() -> None:
    config = from_json({})
    assert (config.name, config.platform, config.backend, config.default_model_filename) == ("", "", "", "")
    assert (config.max_batch_size, config.inputs, config.outputs, config.instance_groups) == (0, (), (), ())
    assert (config.dynamic_batching, config.decoupled, config.parameters) == (None, False, {})


def test_inputs_and_outputs_are_read_with_the_protocols_datatypes() -> None:
    config = from_json(
        {
            "input": [
                {"name": "x", "data_type": "TYPE_STRING", "dims": [-1], "allow_ragged_batch": True, "optional": True},
                {"name": "s", "data_type": "TYPE_INT32", "dims": [2], "is_shape_tensor": True, "reshape": {}},
            ],
            "output": [
                {"name": "y", "data_type": "TYPE_FP16", "dims": [1], "reshape": {"shape": [1, 1]}},
                {"name": "z", "data_type": "TYPE_FP32", "dims": [10], "label_filename": "labels.txt"},
            ],
        }
    )
    assert config.inputs == (
        ModelInput("x", "BYTES", (-1,), None, allow_ragged_batch=True, optional=True),
        ModelInput("s", "INT32", (2,), (), is_shape_tensor=True),
    )
    assert config.outputs == (
        ModelOutput("y", "FP16", (1,), (1, 1)),
        ModelOutput("z", "FP32", (10,), None, "labels.txt"),
    )
    assert config.input("s") is config.inputs[1]
    assert config.output("z") is config.outputs[1]
    assert config.input("nobody") is None
    assert config.output("nobody") is None


def test_instance_groups_have_one_instance_on_the_cpu_unless_they_say_otherwise() -> None:
    config = from_json(
        {
            "instance_group": [
                {"name": "a"},
                {"name": "b", "kind": "KIND_GPU", "count": 2, "gpus": [0, 1], "passive": True},
            ]
        }
    )
    assert config.instance_groups == (
        InstanceGroup("a", "KIND_CPU", 1),
        InstanceGroup("b", "KIND_GPU", 2, (0, 1), passive=True),
    )


def test_an_empty_dynamic_batching_is_not_the_same_as_none() -> None:
    assert from_json({"dynamic_batching": {}}).dynamic_batching == DynamicBatching(priority_queue_policy={})


def test_dynamic_batching_is_read_with_its_queue_policies() -> None:
    batching = from_json(
        {
            "dynamic_batching": {
                "preferred_batch_size": [4, 8],
                "max_queue_delay_microseconds": 100,
                "preserve_ordering": True,
                "priority_levels": 3,
                "default_priority_level": 2,
                "default_queue_policy": {"max_queue_size": 10},
                "priority_queue_policy": {
                    "1": {
                        "timeout_action": "DELAY",
                        "default_timeout_microseconds": 7,
                        "allow_timeout_override": True,
                    }
                },
            }
        }
    ).dynamic_batching
    assert batching is not None
    assert (batching.preferred_batch_sizes, batching.max_queue_delay_us) == ((4, 8), 100)
    assert (batching.preserve_ordering, batching.priority_levels, batching.default_priority_level) == (True, 3, 2)
    assert batching.queue_policy(1) == QueuePolicy("DELAY", 7, allow_timeout_override=True)
    assert batching.queue_policy(3) == QueuePolicy(max_queue_size=10)


def test_without_policies_of_levels_the_default_one_counts() -> None:
    assert DynamicBatching().queue_policy(1) == QueuePolicy()


@pytest.mark.parametrize(
    ("raw", "kinds"),
    [
        ({}, (False, False, False)),
        ({"ensemble_scheduling": {}}, (True, False, False)),
        ({"sequence_batching": {}}, (False, True, False)),
        ({"model_transaction_policy": {"decoupled": True}}, (False, False, True)),
    ],
)
def test_what_kind_of_model_it_is(raw: dict[str, object], kinds: tuple[bool, bool, bool]) -> None:
    config = from_json(raw)
    assert (config.is_ensemble, config.has_sequence_batching, config.decoupled) == kinds


def test_parameters_are_strings() -> None:
    assert from_json({"parameters": {"a": {"string_value": "1"}, "b": {}}}).parameters == {"a": "1", "b": ""}


def test_the_json_form_stays_at_hand() -> None:
    raw = {"name": "m", "optimization": {"cuda": {}}}
    assert from_json(raw).raw is raw
