"""The model repository that the official clients are tested against."""

from __future__ import annotations

from pathlib import Path

from python_models import add_model

DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
)
LABELS = ("apple", "bread", "cheese")

_CONFIG_NAMES = {"BYTES": "STRING"}

#: Gives back whichever of its inputs IN_<datatype> it was given, as OUT_<datatype>.
_IDENTITY = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse(list(map(self.renamed, request.inputs()))) for request in requests]

    def renamed(self, tensor):
        name = tensor.name().replace("IN_", "OUT_")
        if tensor.name() == "IN_BF16":  # numpy has no such type
            return pb_utils.Tensor.from_dlpack(name, tensor.to_dlpack())
        return pb_utils.Tensor(name, tensor.as_numpy())
"""

#: Answers with the first value of its input, that many milliseconds later.
_DELAY = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            value = pb_utils.get_input_tensor_by_name(request, "MS").as_numpy()
            time.sleep(int(value[0]) / 1e3)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("SLEPT_MS", value)]))
        return responses
"""

#: Tells in JSON what it sees of a request besides its tensors.
_MIRROR = """
import json
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([self.seen(request)]) for request in requests]

    def seen(self, request):
        seen = {
            "id": request.request_id(),
            "sequence": request.correlation_id(),
            "flags": request.flags(),
            "timeout": request.timeout(),
            "parameters": json.loads(request.parameters() or "{}"),
        }
        return pb_utils.Tensor("SEEN", np.array([json.dumps(seen).encode()], np.object_))
"""

#: COUNT responses, GAP_MS apart, then the end by itself; fewer when nobody wants them any more.
_COUNTDOWN = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            gap_s = int(pb_utils.get_input_tensor_by_name(request, "GAP_MS").as_numpy()[0]) / 1e3
            for index in range(int(pb_utils.get_input_tensor_by_name(request, "COUNT").as_numpy()[0])):
                time.sleep(gap_s)
                if sender.is_cancelled():
                    break
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("INDEX", np.array([index], np.int32))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""


def write_models(repository: Path, delay_instances: int) -> None:
    """`identity` (of every datatype), `identity_batch`, `scores` (with labels), `delay` (with so many instances),
    `mirror` and `countdown` (decoupled), all of the python backend."""
    config = 'backend: "python"\n' + "".join(map(_optional_tensor, DATATYPES))
    add_model(repository, "identity", config, _IDENTITY)
    add_model(repository, "identity_batch", _one_tensor("FP32", "-1", 8), _IDENTITY)
    labelled = _one_tensor("FP32", "5").replace('OUT_FP32"', 'OUT_FP32" label_filename: "labels.txt"')
    add_model(repository, "scores", labelled, _IDENTITY)
    (repository / "scores" / "labels.txt").write_text("\n".join(LABELS) + "\n")
    instances = f"instance_group [ {{ count: {delay_instances} kind: KIND_CPU }} ]\n"
    add_model(repository, "delay", instances + _tensors({"MS": "INT32"}, {"SLEPT_MS": "INT32"}), _DELAY)
    add_model(repository, "mirror", _tensors({"X": "INT32"}, {"SEEN": "STRING"}), _MIRROR)
    decoupled = "model_transaction_policy { decoupled: true }\n"
    countdown = _tensors({"COUNT": "INT32", "GAP_MS": "INT32"}, {"INDEX": "INT32"})
    add_model(repository, "countdown", decoupled + countdown, _COUNTDOWN)


def _optional_tensor(datatype: str) -> str:
    name = _CONFIG_NAMES.get(datatype, datatype)
    return (
        f'input [ {{ name: "IN_{datatype}" data_type: TYPE_{name} dims: [ -1 ] optional: true }} ]\n'
        f'output [ {{ name: "OUT_{datatype}" data_type: TYPE_{name} dims: [ -1 ] }} ]\n'
    )


def _one_tensor(datatype: str, dims: str, max_batch_size: int = 0) -> str:
    return (
        f'backend: "python"\nmax_batch_size: {max_batch_size}\n'
        f'input [ {{ name: "IN_{datatype}" data_type: TYPE_{datatype} dims: [ {dims} ] }} ]\n'
        f'output [ {{ name: "OUT_{datatype}" data_type: TYPE_{datatype} dims: [ {dims} ] }} ]\n'
    )


def _tensors(inputs: dict[str, str], outputs: dict[str, str]) -> str:
    rows = [
        f'{kind} [ {{ name: "{name}" data_type: TYPE_{datatype} dims: [ 1 ] }} ]\n'
        for kind, tensors in (("input", inputs), ("output", outputs))
        for name, datatype in tensors.items()
    ]
    return 'backend: "python"\n' + "".join(rows)
