"""Which answers a server may give to hostile input, and whether an answer fits itself.

Refusals that are the server's own fault by their status (5xx, INTERNAL, ...) are allowed only where Triton gives the
same, or the protocol itself asks for it: each of them is in a table, with its reason.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable
from math import prod
from typing import Any, NamedTuple

from tritonclient.grpc import service_pb2

from grpc_wire import Call, GrpcAnswer
from http_wire import HttpAnswer
from shoal.core.datatypes import BYTE_SIZE


class Allowed(NamedTuple):
    """Answers of this status whose text matches, and why they are right."""

    status: int
    text: str
    reason: str


_JSON_LIBRARY = "Triton answers with its JSON library's errors as INTERNAL (kit: http.bad.*, http.body.*)"
_REPOSITORY = "kit: repo.control_off.*, repo.load_*; the sheet's mapping of UNSUPPORTED to 501"
_SETTINGS = "kit: log.http.*, trace.http.*"
_REGIONS = "kit: shm.*; sheet: client shared memory is UNSUPPORTED until it is allowed"
_DEADLINE = "the client's own deadline has passed, or its `timeout` in the queue: UNAVAILABLE as in Triton"

_REGION_TEXTS = r"Unable to open shared memory region|shared memory size specified with the request for output "

HTTP_ALLOWED = (
    Allowed(500, r"failed to parse the request JSON buffer: ", _JSON_LIBRARY),
    Allowed(500, r"(.*: )?attempt to (access|get) ", _JSON_LIBRARY),
    Allowed(500, r"Unable to parse 'data': Shape does not match", _JSON_LIBRARY),
    Allowed(500, r"failed to get request params\.: ", _JSON_LIBRARY),
    Allowed(501, r"Unsupported compression type$", "sheet: another Content-Encoding is UNSUPPORTED"),
    Allowed(501, r"HTTP end point doesn't support models with decoupled", "kit: decoupled.http_*"),
    Allowed(501, r"'repository_name' specification is not supported", _REPOSITORY),
    Allowed(503, r"explicit model load / unload is not allowed if polling is enabled", _REPOSITORY),
    Allowed(500, r"unexpected error on creating Triton parameter", _REPOSITORY),
    Allowed(501, r"(log|trace) file location can not be updated", _SETTINGS),
    Allowed(503, r"invalid argument for --log_format", _SETTINGS),
    Allowed(501, r"Client shared memory is disabled", _REGIONS),
    Allowed(500, _REGION_TEXTS, _REGIONS),
    Allowed(503, r"(\[request id: .*\] )?(deadline |Request timeout expired)", _DEADLINE),
)
GRPC_ALLOWED = (
    Allowed(7, r"RBAC: access denied$", "a path that is none, refused by Envoy before anybody decodes it"),
    Allowed(13, r"cannot parse the message of ", "a message that is no protobuf is INTERNAL in gRPC itself"),
    Allowed(13, r"(request|message|grpc-timeout|stream|body) ", "a wrong frame or header is INTERNAL in gRPC itself"),
    Allowed(14, r"explicit model load / unload is not allowed if polling is enabled", _REPOSITORY),
    Allowed(13, _REGION_TEXTS, _REGIONS),
    Allowed(14, r"(\[request id: .*\] )?(deadline |Request timeout expired)", _DEADLINE),
)
#: OK, CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, RESOURCE_EXHAUSTED, UNIMPLEMENTED.
_GRPC_PLAIN = {0, 1, 3, 4, 5, 6, 8, 12}
_INTERNAL = 13
_SERVER_ERROR = 500
#: What a client reads of an error that nobody foresaw.
_CRASH = r"unexpected \w+ in the server"
_DECODE: dict[bytes, Callable[[bytes], bytes]] = {b"gzip": gzip.decompress, b"deflate": zlib.decompress}


def http_fault(answer: HttpAnswer) -> str | None:
    """What is wrong with an answer, if anything."""
    if answer.status >= _SERVER_ERROR:
        return _not_allowed(HTTP_ALLOWED, answer.status, _error_text(answer))
    if answer.status != 200:
        return None
    kind, encoding = answer.headers.get(b"content-type", b""), answer.headers.get(b"content-encoding")
    body = _DECODE[encoding](answer.body) if encoding else answer.body
    if kind == b"application/octet-stream":
        split = int(answer.headers[b"inference-header-content-length"])
        return _document_fault(_parsed(body[:split]), len(body) - split)
    return _document_fault(_parsed(body), 0) if kind == b"application/json" and body else None


def grpc_fault(call: Call, answer: GrpcAnswer) -> str | None:
    """What is wrong with the answer to a call, if anything."""
    if answer.status is None:
        return f"a status was due, but: {answer.text}" if call.is_due and call.ends else None
    if answer.status not in _GRPC_PLAIN:
        # What breaks the protocol itself, gRPC's library refuses as INTERNAL in words of its own.
        if answer.status == _INTERNAL and not call.is_due and not re.match(_CRASH, answer.text):
            return None
        return _not_allowed(GRPC_ALLOWED, answer.status, answer.text)
    return _response_fault(call, answer)


def _response_fault(call: Call, answer: GrpcAnswer) -> str | None:
    # Outputs that are written to a region are empty in the answer.
    is_in_region = b"shared_memory_region" in call.data
    if call.path.endswith(b"/ModelStreamInfer"):
        responses = map(service_pb2.ModelStreamInferResponse.FromString, answer.messages)
        return next(filter(None, (_stream_fault(response, is_in_region) for response in responses)), None)
    if answer.status != 0 or not call.path.endswith(b"/ModelInfer"):
        return None
    if len(answer.messages) != 1:
        return f"{len(answer.messages)} messages with OK, expected 1"
    return _message_fault(service_pb2.ModelInferResponse.FromString(answer.messages[0]), is_in_region)


def _parsed(document: bytes) -> Any:
    # Text tensors may hold bytes that are not UTF-8, and go back as they came.
    return json.loads(document.decode("utf-8", "surrogateescape"))


def _error_text(answer: HttpAnswer) -> str:
    try:
        return str(json.loads(answer.body)["error"])
    except (ValueError, KeyError, TypeError):
        return repr(answer.body[:500])


def _not_allowed(table: Iterable[Allowed], status: int, text: str) -> str | None:
    if any(each.status == status and re.match(each.text, text, re.DOTALL) for each in table):
        return None
    return f"status {status}, which nothing allows: {text[:500]}"


def _document_fault(document: Any, tail_nbytes: int) -> str | None:
    if not isinstance(document, dict) or "outputs" not in document:
        return None
    for output in document["outputs"]:
        count = prod(output["shape"])
        if "data" in output and len(output["data"]) != count:
            return f"{len(output['data'])} values in shape {output['shape']}"
        nbytes = output.get("parameters", {}).get("binary_data_size", 0)
        element_nbytes = BYTE_SIZE[output["datatype"]]
        if nbytes and element_nbytes and nbytes != count * element_nbytes:
            return f"{nbytes} bytes of {output['datatype']} in shape {output['shape']}"
        tail_nbytes -= nbytes
    return f"{tail_nbytes} bytes after the tensors" if tail_nbytes else None


def _message_fault(response: Any, is_in_region: bool) -> str | None:
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        nbytes = BYTE_SIZE[output.datatype]
        if nbytes and not (is_in_region and not raw) and len(raw) != nbytes * prod(output.shape):
            return f"{len(raw)} bytes of {output.datatype} in shape {list(output.shape)}"
    return None


def _stream_fault(response: Any, is_in_region: bool) -> str | None:
    if response.error_message:
        text = str(response.error_message)
        return text[:500] if re.match(_CRASH, text) else None
    return _message_fault(response.infer_response, is_in_region)
