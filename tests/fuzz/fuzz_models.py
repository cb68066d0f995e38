"""The models that the fuzzers ask: each answers with what it was given, in every shape and datatype there is."""

from __future__ import annotations

from pathlib import Path

from python_models import add_model

#: INT32 of any length, batched; FP32 and BYTES without batching; every datatype at once, each of them optional.
BATCHED, PAIR, TEXT, TYPES, STREAM = "echo_batched", "echo_pair", "echo_text", "echo_types", "drip"
DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BF16", "BYTES"),
)

_ECHO = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        outputs = []
        for tensor in request.inputs():
            name = "OUT" + tensor.name()[len("IN"):]
            if name in request.requested_output_names():
                outputs.append(pb_utils.Tensor.from_dlpack(name, tensor.to_dlpack()) if name == "OUT_BF16"
                               else pb_utils.Tensor(name, tensor.as_numpy()))
        return pb_utils.InferenceResponse(outputs)
"""
#: As many responses as the number says, from none to eight.
_DRIP = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            count = int(pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().ravel()[0])
            for number in range(min(max(count, 0), 8)):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([number], np.int32))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""
_BATCHING = "max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 200 }"
_DECOUPLED = "model_transaction_policy { decoupled: true }"


def write_fuzz_models(repository: Path) -> Path:
    """Write all of them into that folder; returns it."""
    add_model(repository, BATCHED, _config([("", "INT32", -1)], _BATCHING), _ECHO)
    add_model(repository, PAIR, _config([("_A", "FP32", 4), ("_B", "INT64", 4)]), _ECHO)
    add_model(repository, TEXT, _config([("", "BYTES", 1)]), _ECHO)
    every = [(f"_{datatype}", datatype, -1) for datatype in DATATYPES]
    add_model(repository, TYPES, _config(every, optional=True), _ECHO)
    add_model(repository, STREAM, _config([("", "INT32", 1)], _DECOUPLED), _DRIP)
    return repository


def _config(tensors: list[tuple[str, str, int]], more: str = "", optional: bool = False) -> str:
    """The configuration of a model with inputs `IN<tail>` and outputs `OUT<tail>`, each (tail, datatype, dim)."""
    lines = ['backend: "python"', more]
    mark = "optional: true" if optional else ""
    for tail, datatype, dim in tensors:
        kind = "STRING" if datatype == "BYTES" else datatype
        lines.append(f'input [ {{ name: "IN{tail}" data_type: TYPE_{kind} dims: [ {dim} ] {mark} }} ]')
        lines.append(f'output [ {{ name: "OUT{tail}" data_type: TYPE_{kind} dims: [ {dim} ] }} ]')
    return "\n".join(lines)
