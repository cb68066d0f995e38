"""The models that mixed load asks: OUT = IN + 1, INT32 of shape [batch, n] with any n, once in Python, once in ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnx_models import write_model

PYTHON_MODEL, ONNX_MODEL = "plus_one_python", "plus_one_onnx"

_CONFIG = """
backend: "{backend}"
max_batch_size: 8
input [ {{ name: "IN" data_type: TYPE_INT32 dims: [ -1 ] }} ]
output [ {{ name: "OUT" data_type: TYPE_INT32 dims: [ -1 ] }} ]
instance_group [ {{ count: 2 kind: KIND_CPU }} ]
dynamic_batching {{ }}
"""

_MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        tensors = [pb_utils.get_input_tensor_by_name(request, "IN").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", tensor + 1)]) for tensor in tensors]
"""


def write_models(repository: Path) -> Path:
    """Write both models into that folder, which is made; returns it."""
    for name, backend in ((PYTHON_MODEL, "python"), (ONNX_MODEL, "onnxruntime")):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(_CONFIG.format(backend=backend))
    (repository / PYTHON_MODEL / "1" / "model.py").write_text(_MODEL)
    dims = ("batch", "n")
    write_model(
        repository / ONNX_MODEL / "1" / "model.onnx",
        [helper.make_node("Add", ["IN", "ONE"], ["OUT"])],
        [("IN", TensorProto.INT32, dims)],
        [("OUT", TensorProto.INT32, dims)],
        [numpy_helper.from_array(np.array(1, np.int32), "ONE")],
    )
    return repository
