from __future__ import annotations

import pytest

from grpc_wire import Call, GrpcAnswer
from http_wire import HttpAnswer
from verdicts import grpc_fault, http_fault

CALL = Call(b"/inference.GRPCInferenceService/ModelInfer", b"")


def http(status: int, body: bytes, kind: bytes = b"application/json") -> HttpAnswer:
    return HttpAnswer(status, {b"content-type": kind}, body, False)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, "internal error of the gateway"),
        (503, "no scheduler"),
        (501, "soon"),
        (502, "Unsupported compression type"),
    ],
)
def test_a_failure_of_the_server_is_a_fault(status: int, text: str) -> None:
    assert http_fault(http(status, b'{"error":"%s"}' % text.encode())) is not None


def test_failures_that_triton_has_too_are_none() -> None:
    text = b"failed to parse the request JSON buffer: Invalid value. at 0"
    assert http_fault(http(500, b'{"error":"%s"}' % text)) is None
    assert http_fault(http(400, b"")) is None


def test_values_that_do_not_fill_their_shape_are_a_fault() -> None:
    output = b'{"outputs":[{"name":"O","datatype":"INT8","shape":[2],"data":%s}]}'
    assert http_fault(http(200, output % b"[1,2]")) is None
    assert http_fault(http(200, output % b"[1]")) is not None


def test_a_call_without_a_status_is_a_fault_where_one_is_due() -> None:
    reset = GrpcAnswer(None, "reset", ())
    assert grpc_fault(CALL, reset) is not None
    assert grpc_fault(CALL._replace(is_due=False), reset) is None
    assert grpc_fault(CALL._replace(ends=False), reset) is None


def test_an_unforeseen_error_is_a_fault_however_broken_the_call_was() -> None:
    crash = GrpcAnswer(13, "unexpected KeyError in the server; its log has the details", ())
    assert grpc_fault(CALL._replace(is_due=False), crash) is not None
    assert grpc_fault(CALL._replace(is_due=False), GrpcAnswer(13, "Illegal header key", ())) is None
    assert grpc_fault(CALL, GrpcAnswer(13, "Illegal header key", ())) is not None
