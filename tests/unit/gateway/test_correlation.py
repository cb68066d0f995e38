from __future__ import annotations

from typing import Any

import pytest

from gateway_models import one_input
from shoal.core.errors import InvalidArgument
from shoal.core.model_config import from_json
from shoal.gateway.correlation import check_correlation_id


def sequence_model(data_type: str) -> dict[str, Any]:
    control = {"kind": "CONTROL_SEQUENCE_CORRID", "data_type": data_type}
    controls = [
        {"name": "START", "control": [{"kind": "CONTROL_SEQUENCE_START"}]},
        {"name": "ID", "control": [control]},
    ]
    return one_input("TYPE_FP32", [1], sequence_batching={"control_input": controls})


def test_a_text_for_a_numeric_control_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_correlation_id("abc", from_json(sequence_model("TYPE_UINT64")))
    assert caught.value.message == (
        "sequence batching control 'ID' data-type is 'BYTES', but model 'm' expects 'UINT64'"
    )


def test_a_number_for_a_text_control_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="data-type is 'UINT64', but model 'm' expects 'BYTES'"):
        check_correlation_id(7, from_json(sequence_model("TYPE_STRING")))


@pytest.mark.parametrize("correlation_id", [0, ""])
def test_no_correlation_id_is_always_fine(correlation_id: int | str) -> None:
    check_correlation_id(correlation_id, from_json(sequence_model("TYPE_STRING")))


def test_without_sequence_batching_any_type_is_fine() -> None:
    check_correlation_id("abc", from_json(one_input("TYPE_FP32", [1])))
    check_correlation_id(7, from_json(sequence_model("TYPE_UINT64")))
