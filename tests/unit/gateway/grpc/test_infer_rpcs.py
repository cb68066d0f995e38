"""`ModelInfer` on top of a gateway in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from shoal.core.datatypes import decode_bytes
from shoal.core.errors import NotFound, Unsupported
from shoal.gateway.grpc.convert import InferMessage
from shoal.gateway.grpc.infer_rpcs import infer_rpcs
from shoal.gateway.grpc.rpc import INFERENCE, CallContext
from shoal.gateway.grpc.schema import service_pb2

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

CONTEXT = CallContext()


async def test_inference_hands_deadline_and_trace_to_the_gateway(gateway: GatewayDouble) -> None:
    message = InferMessage(service_pb2.ModelInferRequest(model_name="m", id="r"), [])
    answer = await infer_rpcs(gateway)[INFERENCE + "ModelInfer"].handle(
        message, CallContext(5.0, {b"traceparent": b"00-t"})
    )
    (call,) = gateway.calls
    assert (call.deadline_s, call.traceparent, answer.request_id) == (5.0, "00-t", "r")


async def test_an_unknown_model_is_told_before_the_request_is_looked_at(gateway: GatewayDouble) -> None:
    request = service_pb2.ModelInferRequest(model_name="nobody")
    request.parameters["triton_secret"].int64_param = 1
    with pytest.raises(NotFound):
        await infer_rpcs(gateway)[INFERENCE + "ModelInfer"].handle(InferMessage(request, []), CONTEXT)


async def test_an_output_may_be_classified(gateway: GatewayDouble) -> None:
    request = service_pb2.ModelInferRequest(model_name="m")
    request.inputs.add(name="I", datatype="FP32", shape=[3])
    request.outputs.add(name="I").parameters["classification"].int64_param = 2
    raw = np.array([0.5, 2.0, 1.0], "<f4").tobytes()
    answer = await infer_rpcs(gateway)[INFERENCE + "ModelInfer"].handle(InferMessage(request, [raw]), CONTEXT)
    ((name, datatype, shape, data),) = answer.outputs
    assert (name, datatype, shape) == ("I", "BYTES", (2,))
    assert list(decode_bytes(data)) == [b"2.000000:1", b"1.000000:2"]


async def test_a_decoupled_model_needs_a_stream(gateway: GatewayDouble) -> None:
    gateway.add_model("d", model_transaction_policy={"decoupled": True})
    message = InferMessage(service_pb2.ModelInferRequest(model_name="d"), [])
    with pytest.raises(Unsupported, match="ModelInfer RPC doesn't support models with decoupled transaction policy"):
        await infer_rpcs(gateway)[INFERENCE + "ModelInfer"].handle(message, CONTEXT)
