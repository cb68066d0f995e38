"""Each RPC on top of a gateway in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from shoal.core.datatypes import decode_bytes
from shoal.core.errors import InvalidArgument, NotFound, Unsupported
from shoal.gateway.grpc.convert import InferMessage
from shoal.gateway.grpc.handlers import CallContext, Handlers
from shoal.gateway.grpc.schema import service_pb2

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

CONTEXT = CallContext()


async def test_the_server_is_live_and_ready(gateway: GatewayDouble) -> None:
    handlers = Handlers(gateway)
    assert (await handlers.server_live(service_pb2.ServerLiveRequest(), CONTEXT)).live
    assert (await handlers.server_ready(service_pb2.ServerReadyRequest(), CONTEXT)).ready


async def test_a_draining_server_is_live_but_not_ready(gateway: GatewayDouble) -> None:
    handlers = Handlers(gateway)
    gateway.is_draining = True
    assert (await handlers.server_live(service_pb2.ServerLiveRequest(), CONTEXT)).live
    assert not (await handlers.server_ready(service_pb2.ServerReadyRequest(), CONTEXT)).ready
    assert await handlers.health_check(b"", CONTEXT) == b"\x08\x02"


async def test_the_standard_health_check_ignores_the_service_name(gateway: GatewayDouble) -> None:
    assert await Handlers(gateway).health_check(b"\x0a\x01x", CONTEXT) == b"\x08\x01"


@pytest.mark.parametrize(("name", "ready"), [("m", True), ("nobody", False), ("", False)])
async def test_model_readiness_is_no_error_for_unknown_models(gateway: GatewayDouble, name: str, ready: bool) -> None:
    response = await Handlers(gateway).model_ready(service_pb2.ModelReadyRequest(name=name), CONTEXT)
    assert response.ready is ready


async def test_model_readiness_is_freshened_before_it_is_denied(gateway: GatewayDouble) -> None:
    await Handlers(gateway).model_ready(service_pb2.ModelReadyRequest(name="m", version="2"), CONTEXT)
    assert gateway.freshened == [("m", 2)]


async def test_model_readiness_wants_a_number_as_version(gateway: GatewayDouble) -> None:
    with pytest.raises(InvalidArgument):
        await Handlers(gateway).model_ready(service_pb2.ModelReadyRequest(name="m", version="abc"), CONTEXT)


async def test_server_metadata(gateway: GatewayDouble) -> None:
    response = await Handlers(gateway).server_metadata(service_pb2.ServerMetadataRequest(), CONTEXT)
    expected = service_pb2.ServerMetadataResponse(name="double", version="9", extensions=["statistics"])
    assert response == expected


async def test_model_metadata(gateway: GatewayDouble) -> None:
    response = await Handlers(gateway).model_metadata(service_pb2.ModelMetadataRequest(name="m"), CONTEXT)
    expected = service_pb2.ModelMetadataResponse(name="m", versions=["1", "2"], platform="p")
    expected.inputs.add(name="INPUT0", datatype="FP32", shape=[-1, 3])
    assert response == expected


async def test_metadata_of_an_unknown_model_is_not_found(gateway: GatewayDouble) -> None:
    with pytest.raises(NotFound):
        await Handlers(gateway).model_metadata(service_pb2.ModelMetadataRequest(name="nobody"), CONTEXT)


async def test_model_config_is_the_protobuf_of_the_json_form(gateway: GatewayDouble) -> None:
    gateway.add_model("n", max_batch_size=4, dynamic_batching={"max_queue_delay_microseconds": 100})
    config = (await Handlers(gateway).model_config(service_pb2.ModelConfigRequest(name="n"), CONTEXT)).config
    assert (config.name, config.max_batch_size, config.input[0].name) == ("n", 4, "INPUT0")
    assert config.dynamic_batching.max_queue_delay_microseconds == 100


async def test_model_config_follows_the_generation(gateway: GatewayDouble) -> None:
    handlers = Handlers(gateway)
    request = service_pb2.ModelConfigRequest(name="m")
    assert (await handlers.model_config(request, CONTEXT)).config.max_batch_size == 0
    gateway.add_model("m", max_batch_size=8)
    assert (await handlers.model_config(request, CONTEXT)).config.max_batch_size == 8


async def test_statistics_of_one_model(gateway: GatewayDouble) -> None:
    response = await Handlers(gateway).model_statistics(service_pb2.ModelStatisticsRequest(name="m"), CONTEXT)
    (row,) = response.model_stats
    assert (row.name, row.version, row.inference_stats.success.ns) == ("m", "1", 2**40)


async def test_statistics_without_a_name_are_those_of_all_models(gateway: GatewayDouble) -> None:
    response = await Handlers(gateway).model_statistics(service_pb2.ModelStatisticsRequest(), CONTEXT)
    assert [row.name for row in response.model_stats] == ["every"]


async def test_the_index_may_be_limited_to_ready_models(gateway: GatewayDouble) -> None:
    handlers = Handlers(gateway)
    all_rows = await handlers.repository_index(service_pb2.RepositoryIndexRequest(), CONTEXT)
    ready = await handlers.repository_index(service_pb2.RepositoryIndexRequest(ready=True), CONTEXT)
    assert [(row.name, row.version, row.state) for row in all_rows.models] == [("a", "1", "READY"), ("b", "", "")]
    assert [row.name for row in ready.models] == ["a"]


async def test_the_index_knows_no_repository_names(gateway: GatewayDouble) -> None:
    with pytest.raises(Unsupported, match="'repository_name' specification is not supported"):
        await Handlers(gateway).repository_index(service_pb2.RepositoryIndexRequest(repository_name="r"), CONTEXT)


async def test_inference_hands_deadline_and_trace_to_the_gateway(gateway: GatewayDouble) -> None:
    message = InferMessage(service_pb2.ModelInferRequest(model_name="m", id="r"), [])
    answer = await Handlers(gateway).model_infer(message, CallContext(5.0, "00-t"))
    (call,) = gateway.calls
    assert (call.deadline_s, call.traceparent, answer.request_id) == (5.0, "00-t", "r")


async def test_an_unknown_model_is_told_before_the_request_is_looked_at(gateway: GatewayDouble) -> None:
    request = service_pb2.ModelInferRequest(model_name="nobody")
    request.parameters["triton_secret"].int64_param = 1
    with pytest.raises(NotFound):
        await Handlers(gateway).model_infer(InferMessage(request, []), CONTEXT)


async def test_an_output_may_be_classified(gateway: GatewayDouble) -> None:
    request = service_pb2.ModelInferRequest(model_name="m")
    request.inputs.add(name="I", datatype="FP32", shape=[3])
    request.outputs.add(name="I").parameters["classification"].int64_param = 2
    raw = np.array([0.5, 2.0, 1.0], "<f4").tobytes()
    answer = await Handlers(gateway).model_infer(InferMessage(request, [raw]), CONTEXT)
    ((name, datatype, shape, data),) = answer.outputs
    assert (name, datatype, shape) == ("I", "BYTES", (2,))
    assert list(decode_bytes(data)) == [b"2.000000:1", b"1.000000:2"]


async def test_a_decoupled_model_needs_a_stream(gateway: GatewayDouble) -> None:
    gateway.add_model("d", model_transaction_policy={"decoupled": True})
    message = InferMessage(service_pb2.ModelInferRequest(model_name="d"), [])
    with pytest.raises(Unsupported, match="ModelInfer RPC doesn't support models with decoupled transaction policy"):
        await Handlers(gateway).model_infer(message, CONTEXT)
