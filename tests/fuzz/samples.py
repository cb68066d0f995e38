"""Good inference requests of every kind, for both protocols: what the fuzzers start from."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from tritonclient.grpc import service_pb2

from fuzz_models import BATCHED, DATATYPES, PAIR, STREAM, TEXT, TYPES

_NUMPY = {"FP16": "<f2", "BF16": "<u2", "BOOL": "?", "FP32": "<f4", "FP64": "<f8"}


class HttpSample(NamedTuple):
    """A request to a model: a document, and the tensor bytes after it (None: all in JSON)."""

    model: str
    document: Mapping[str, Any]
    tail: bytes | None = None
    action: str = "infer"

    @property
    def path(self) -> bytes:
        return f"/v2/models/{self.model}/{self.action}".encode()


def http_request(path: bytes, body: bytes, headers: Mapping[bytes, bytes], method: bytes = b"POST") -> bytes:
    """A request with the right length."""
    fields = b"".join(b"%s: %s\r\n" % field for field in headers.items())
    return b"%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n" % (method, path, len(body), fields) + body


def _tensor(
    name: str, datatype: str, shape: list[int], data: list[Any] | None = None, nbytes: int = 0
) -> dict[str, Any]:
    source: dict[str, Any] = {"parameters": {"binary_data_size": nbytes}} if data is None else {"data": data}
    return {"name": name, "datatype": datatype, "shape": shape, **source}


def values(datatype: str, count: int) -> bytes:
    """Wire bytes of `count` elements."""
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", number) + b"x" * number for number in range(count))
    kind = _NUMPY.get(datatype) or f"<{'u' if datatype[0] == 'U' else 'i'}{int(datatype.lstrip('UINT')) // 8}"
    return np.arange(count).astype(kind).tobytes()


_PARAMETERS = {"priority": 1, "timeout": 10_000_000, "note": "n", "factor": 1.5, "is_new": True, "sequence_id": 0}
_ALL_TYPES = [(f"IN_{datatype}", datatype, values(datatype, 3)) for datatype in DATATYPES]
#: A region that the server under fuzz knows, until it is told to forget it.
REGION, REGION_NBYTES = "fuzzed", 4096
_PART = {"shared_memory_region": REGION, "shared_memory_offset": 64, "shared_memory_byte_size": 16}
HTTP_SAMPLES = (
    HttpSample(BATCHED, {"inputs": [_tensor("IN", "INT32", [2, 3], [[1, 2, 3], [4, 5, 6]])]}),
    HttpSample(
        BATCHED,
        {
            "id": "r1",
            "parameters": _PARAMETERS,
            "inputs": [_tensor("IN", "INT32", [1, 4], nbytes=16)],
            "outputs": [{"name": "OUT", "parameters": {"binary_data": True}}],
        },
        values("INT32", 4),
    ),
    HttpSample(BATCHED, {"inputs": [_tensor("IN", "INT32", [1, 9000], nbytes=36_000)]}, values("INT32", 9000)),
    HttpSample(
        PAIR,
        {
            "inputs": [_tensor("IN_A", "FP32", [4], [1.5, -2, 1e30, 0]), _tensor("IN_B", "INT64", [4], [1, 2, 3, 4])],
            "outputs": [{"name": "OUT_A", "parameters": {"classification": 2}}, {"name": "OUT_B"}],
        },
    ),
    HttpSample(TEXT, {"id": "ü", "inputs": [_tensor("IN", "BYTES", [1], ["some ☃ text"])]}),
    HttpSample(
        TYPES,
        {
            "inputs": [_tensor(name, datatype, [3], nbytes=len(data)) for name, datatype, data in _ALL_TYPES],
            "parameters": {"binary_data_output": True},
        },
        b"".join(data for _, _, data in _ALL_TYPES),
    ),
    HttpSample(TYPES, {"inputs": [_tensor("IN_BOOL", "BOOL", [3], [True, False, True])]}),
    HttpSample(STREAM, {"inputs": [_tensor("IN", "INT32", [1], [2])]}),
    HttpSample(TEXT, {"IN": "some text", "note": 1, "parameters": {"more": True}}, action="generate"),
    HttpSample(STREAM, {"IN": 3}, action="generate_stream"),
    HttpSample(
        BATCHED,
        {
            "inputs": [{"name": "IN", "datatype": "INT32", "shape": [1, 4], "parameters": _PART}],
            "outputs": [{"name": "OUT", "parameters": _PART}],
        },
    ),
)


def _in_region() -> Any:
    request = service_pb2.ModelInferRequest(model_name=BATCHED)
    tensors = request.inputs.add(name="IN", datatype="INT32", shape=[1, 4]), request.outputs.add(name="OUT")
    for tensor in tensors:
        tensor.parameters["shared_memory_region"].string_param = REGION
        tensor.parameters["shared_memory_offset"].int64_param = 64
        tensor.parameters["shared_memory_byte_size"].int64_param = 16
    return request


def _infer(model: str, *inputs: tuple[str, str, list[int], bytes], **more: Any) -> Any:
    request = service_pb2.ModelInferRequest(model_name=model, **more)
    for name, datatype, shape, data in inputs:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(data)
    return request


def _grpc_samples() -> tuple[Any, ...]:
    batched = _infer(BATCHED, ("IN", "INT32", [2, 3], values("INT32", 6)), id="r1")
    batched.parameters["priority"].uint64_param = 1
    batched.parameters["timeout"].int64_param = 10_000_000
    batched.parameters["note"].string_param = "n"
    batched.outputs.add(name="OUT").parameters["classification"].int64_param = 2
    typed = service_pb2.ModelInferRequest(model_name=PAIR, model_version="1")
    typed.inputs.add(name="IN_A", datatype="FP32", shape=[4]).contents.fp32_contents.extend([1, 2, 3, 4])
    typed.inputs.add(name="IN_B", datatype="INT64", shape=[4]).contents.int64_contents.extend([1, 2, 3, 4])
    text = service_pb2.ModelInferRequest(model_name=TEXT)
    text.inputs.add(name="IN", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"text")
    return (
        batched,
        typed,
        text,
        _infer(TYPES, *((name, datatype, [3], data) for name, datatype, data in _ALL_TYPES)),
        _infer(BATCHED, ("IN", "INT32", [1, 18_000], values("INT32", 18_000))),
        _infer(STREAM, ("IN", "INT32", [1], values("INT32", 2)[4:])),
        _in_region(),
    )


#: `ModelInferRequest`s, generated messages without types.
GRPC_SAMPLES = _grpc_samples()


def http_sample_request(sample: HttpSample) -> tuple[bytes, dict[bytes, bytes]]:
    """Body and headers of a sample."""
    document = json.dumps(sample.document, ensure_ascii=False).encode()
    if sample.tail is None:
        return document, {}
    return document + sample.tail, {b"Inference-Header-Content-Length": b"%d" % len(document)}
