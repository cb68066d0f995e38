"""The model that is measured on every server: a python model that gives its input back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MODEL = "identity"
INPUT = "INPUT0"
FLOAT_NBYTES = 4

#: As many as the most requests in flight, so that the batch size is nobody's limit.
MAX_BATCH_SIZE = 64

_CONFIG = f"""\
name: "{MODEL}"
backend: "python"
max_batch_size: {MAX_BATCH_SIZE}
input [ {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ -1 ] }} ]
output [ {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ }}
"""

_CODE = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            array = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            responses.append(pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("OUTPUT0", array)]))
        return responses
"""


class Body(NamedTuple):
    """An HTTP request with a binary tail: `headers` are whole lines."""

    path: str
    headers: tuple[str, ...]
    data: bytes


def write_repository(folder: Path) -> None:
    """A model repository in `folder`, which exists, that Shoal and Triton both take unchanged."""
    version = folder / MODEL / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(_CONFIG)
    (version / "model.py").write_text(_CODE)


def binary_body(floats: int) -> Body:
    """A request of one row of FP32 zeros for a loader that does not speak the protocol itself."""
    nbytes = floats * FLOAT_NBYTES
    tensor = f'{{"name":"{INPUT}","datatype":"FP32","shape":[1,{floats}],"parameters":{{"binary_data_size":{nbytes}}}}}'
    head = f'{{"inputs":[{tensor}],"parameters":{{"binary_data_output":true}}}}'.encode()
    headers = (f"Inference-Header-Content-Length: {len(head)}", "Content-Type: application/octet-stream")
    return Body(f"/v2/models/{MODEL}/infer", headers, head + bytes(nbytes))


def size_text(floats: int) -> str:
    """How tables name a tensor's size."""
    nbytes = floats * FLOAT_NBYTES
    if nbytes % 1024 == 0:
        return f"{nbytes // 1024} KiB"
    return f"{nbytes // 1000} KB" if nbytes >= 1000 else f"{floats} floats"
