from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.errors import InvalidArgument
from shoal.core.model_config import from_json
from shoal.repository.config import json_form
from shoal.repository.config.text import parse_text
from shoal.repository.normalize import normalize

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["everything", "sequence"])
def test_normalised_configuration_matches_its_golden_file(name: str) -> None:
    config = normalize(parse_text((GOLDEN / f"{name}.pbtxt").read_text(), name))
    assert config == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["everything", "sequence"])
def test_json_form_survives_a_round_trip(name: str) -> None:
    config = normalize(parse_text((GOLDEN / f"{name}.pbtxt").read_text(), name))
    assert json_form.parse(json_form.dumps(config)) == config
    assert json_form.parse(config) == config
    assert from_json(config).name == name


def test_absent_fields_get_their_defaults() -> None:
    config = json_form.parse({"name": "m", "dynamic_batching": {}})
    assert config["max_batch_size"] == 0
    assert config["input"] == []
    assert config["parameters"] == {}
    assert config["dynamic_batching"]["priority_levels"] == 0
    assert "default_queue_policy" not in config["dynamic_batching"]
    assert "optimization" not in config


def test_camel_case_and_integers_as_text_are_accepted() -> None:
    config = json_form.parse('{"maxBatchSize": 2, "input": [{"name": "A", "dataType": "TYPE_FP32", "dims": ["-1"]}]}')
    assert config["max_batch_size"] == 2
    assert config["input"][0]["dims"] == [-1]


@pytest.mark.parametrize("form", ['{"no_such": 1}', '{"max_batch_size": "many"}', "{", "[]"])
def test_what_is_no_configuration_is_refused(form: str) -> None:
    with pytest.raises(InvalidArgument, match="model configuration is not valid"):
        json_form.parse(form)


@given(st.floats(-(2.0**96), 2.0**96, width=32))
def test_floats_keep_their_value_with_the_fewest_digits(value: float) -> None:
    form: dict[str, Any] = {"sequence_batching": {"direct": {"minimum_slot_utilization": value}}}
    rendered = json_form.parse(form)["sequence_batching"]["direct"]["minimum_slot_utilization"]
    assert json_form.parse({"sequence_batching": {"direct": {"minimum_slot_utilization": rendered}}}) == (
        json_form.parse(form)
    )
    assert len(repr(rendered)) <= len(repr(value))


_NAMES = st.text(max_size=8)
_TENSORS = st.lists(
    st.fixed_dictionaries(
        {"name": _NAMES, "dims": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3)},
        optional={"data_type": st.sampled_from(["TYPE_FP32", "TYPE_STRING"]), "is_shape_tensor": st.booleans()},
    ),
    max_size=3,
)
CONFIGS = st.fixed_dictionaries(
    {"name": _NAMES},
    optional={
        "backend": st.sampled_from(["python", "onnxruntime"]),
        "max_batch_size": st.integers(-1, 2**31 - 1),
        "input": _TENSORS,
        "output": _TENSORS,
        "parameters": st.dictionaries(_NAMES, st.fixed_dictionaries({"string_value": _NAMES}), max_size=3),
        "dynamic_batching": st.fixed_dictionaries({}, optional={"max_queue_delay_microseconds": st.integers(0, 2**63)}),
        "instance_group": st.lists(
            st.fixed_dictionaries({}, optional={"count": st.integers(-1, 4), "kind": st.sampled_from(["KIND_CPU"])}),
            max_size=3,
        ),
    },
)


@given(CONFIGS)
def test_parsing_what_was_rendered_changes_nothing(form: dict[str, Any]) -> None:
    config = json_form.parse(form)
    assert json_form.parse(json_form.dumps(config)) == config


@given(CONFIGS)
def test_normalising_twice_changes_nothing(form: dict[str, Any]) -> None:
    config = normalize(json_form.parse(form))
    assert normalize(config) == config
    assert json_form.parse(config) == config
