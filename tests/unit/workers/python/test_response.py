from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shoal.workers.python.error import TritonError, TritonModelException
from shoal.workers.python.response import InferenceResponse, parameters_of
from shoal.workers.python.tensor import Tensor

TENSOR = Tensor("X", np.zeros(1, np.float32))


def test_a_response_holds_outputs_and_parameters() -> None:
    response = InferenceResponse([TENSOR], parameters={"a": 1})
    assert response.output_tensors() == [TENSOR]
    assert not response.has_error()
    assert response.error() is None
    assert response.parameters() == '{"a":1}'
    assert parameters_of(response) == {"a": 1}


def test_a_response_may_be_an_error_alone() -> None:
    error = TritonError("bad")
    response = InferenceResponse(error=error)
    assert (response.output_tensors(), response.has_error(), response.error()) == ([], True, error)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"output_tensors": [None]}, "Output tensor for inference response should not be empty."),
        ({"output_tensors": ["x"]}, "expected a Tensor in output_tensors, found type <class 'str'>"),
        ({"error": "bad"}, "expected a TritonError as error, found type <class 'str'>"),
        ({"parameters": {"a": 1.5}}, "Expect parameters values to have type bool/int/str"),
    ],
)
def test_anything_else_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TritonModelException, match=text):
        InferenceResponse(**given)
