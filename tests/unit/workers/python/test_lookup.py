from __future__ import annotations

import numpy as np

from shoal.workers.python.lookup import (
    get_input_config_by_name,
    get_input_tensor_by_name,
    get_output_config_by_name,
    get_output_tensor_by_name,
    using_decoupled_model_transaction_policy,
)
from shoal.workers.python.request import InferenceRequest
from shoal.workers.python.response import InferenceResponse
from shoal.workers.python.tensor import Tensor

TENSOR = Tensor("X", np.zeros(1, np.float32))


def test_tensors_are_found_by_name_or_are_none() -> None:
    request = InferenceRequest(inputs=[TENSOR], requested_output_names=[], model_name="m")
    response = InferenceResponse([TENSOR])
    assert get_input_tensor_by_name(request, "X") is TENSOR
    assert get_input_tensor_by_name(request, "Y") is None
    assert get_output_tensor_by_name(response, "X") is TENSOR
    assert get_output_tensor_by_name(response, "Y") is None


def test_configuration_entries_are_found_by_name_or_are_none() -> None:
    config = {"input": [{"name": "A", "dims": [1]}], "output": [{"name": "B", "dims": [2]}]}
    assert get_input_config_by_name(config, "A") == {"name": "A", "dims": [1]}
    assert get_input_config_by_name(config, "B") is None
    assert get_output_config_by_name(config, "B") == {"name": "B", "dims": [2]}
    assert get_output_config_by_name({}, "B") is None


def test_the_transaction_policy_is_read_from_the_configuration() -> None:
    assert using_decoupled_model_transaction_policy({"model_transaction_policy": {"decoupled": True}})
    assert not using_decoupled_model_transaction_policy({"model_transaction_policy": {"decoupled": False}})
    assert not using_decoupled_model_transaction_policy({})
