"""An ensemble of three python steps whose whole is OUT = IN + 1, INT32 of shape [batch, n] with any n.

The steps are two models: `negate`, `minus_one`, `negate` again. `minus_one` refuses the number `REFUSED` as its first
element, and takes `SLOW_S` for the number `SLOW`.
"""

from __future__ import annotations

from pathlib import Path

ENSEMBLE = "plus_one_ensemble"
#: What the client sends, not what the step sees.
REFUSED, SLOW = 1_000_001, 1_000_002
SLOW_S = 1.5

_PYTHON = """
backend: "python"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_INT32 dims: [ -1 ] } ]
output [ { name: "Y" data_type: TYPE_INT32 dims: [ -1 ] } ]
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { }
"""
_ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input [ { name: "IN" data_type: TYPE_INT32 dims: [ -1 ] } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ -1 ] } ]
ensemble_scheduling {
  step [
    { model_name: "negate" model_version: -1 input_map { key: "X" value: "IN" } output_map { key: "Y" value: "a" } },
    { model_name: "minus_one" model_version: -1 input_map { key: "X" value: "a" } output_map { key: "Y" value: "b" } },
    { model_name: "negate" model_version: -1 input_map { key: "X" value: "b" } output_map { key: "Y" value: "OUT" } }
  ]
}
"""
_NEGATE = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", -tensor)]) for tensor in tensors]
"""
_MINUS_ONE = f"""
import time

import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]

    def _answer(self, tensor):
        if tensor.flat[0] == -{REFUSED}:
            error = pb_utils.TritonError("refused the number", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        if tensor.flat[0] == -{SLOW}:
            time.sleep({SLOW_S})
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", tensor - 1)])
"""


def write_ensemble(repository: Path) -> Path:
    """Write the ensemble and its models into that folder; returns it."""
    for name, config, code in (
        (ENSEMBLE, _ENSEMBLE, ""),
        ("negate", _PYTHON, _NEGATE),
        ("minus_one", _PYTHON, _MINUS_ONE),
    ):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(config)
        if code:
            (repository / name / "1" / "model.py").write_text(code)
    return repository
