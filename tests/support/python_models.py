"""Model repositories of python models, written by the test that needs them."""

from __future__ import annotations

from pathlib import Path

#: One number in, one number out; `{more}` is what a test adds to the configuration.
NUMBER_CONFIG = """
backend: "python"
input [ {{ name: "IN" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [ {{ name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] }} ]
{more}
"""

#: Answers each request with `work(number)`, which the test writes, at top level, together with what it needs.
NUMBER_MODEL = """
import os, signal, sys, time
import numpy as np
import triton_python_backend_utils as pb_utils

{work}

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            number = int(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().ravel()[0])
            given = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            out = np.full(given.shape, work(number), np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", out)]))
        return responses
"""


def add_model(repository: Path, name: str, config: str, source: str) -> None:
    """Write version 1 of a python model."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    (repository / name / "1" / "model.py").write_text(source)


def add_number_model(repository: Path, name: str, work: str, config: str = "") -> None:
    """Write a model that answers an INT32 `IN` of shape [1] (with a batch dimension when `config` asks for batching)
    with `OUT`: `work(number)`, defined by the source text `work`."""
    add_model(repository, name, NUMBER_CONFIG.format(more=config), NUMBER_MODEL.format(work=work))
