"""The RPCs about a model, on top of a gateway in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal.core.errors import InvalidArgument, NotFound
from shoal.gateway.grpc.model_rpcs import model_rpcs
from shoal.gateway.grpc.rpc import INFERENCE, CallContext
from shoal.gateway.grpc.schema import service_pb2

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

CONTEXT = CallContext()


@pytest.mark.parametrize(("name", "ready"), [("m", True), ("nobody", False), ("", False)])
async def test_model_readiness_is_no_error_for_unknown_models(gateway: GatewayDouble, name: str, ready: bool) -> None:
    response = await model_rpcs(gateway)[INFERENCE + "ModelReady"].handle(
        service_pb2.ModelReadyRequest(name=name), CONTEXT
    )
    assert response.ready is ready


async def test_model_readiness_is_freshened_before_it_is_denied(gateway: GatewayDouble) -> None:
    await model_rpcs(gateway)[INFERENCE + "ModelReady"].handle(
        service_pb2.ModelReadyRequest(name="m", version="2"), CONTEXT
    )
    assert gateway.freshened == [("m", 2)]


async def test_model_readiness_wants_a_number_as_version(gateway: GatewayDouble) -> None:
    with pytest.raises(InvalidArgument):
        await model_rpcs(gateway)[INFERENCE + "ModelReady"].handle(
            service_pb2.ModelReadyRequest(name="m", version="abc"), CONTEXT
        )


async def test_model_metadata(gateway: GatewayDouble) -> None:
    response = await model_rpcs(gateway)[INFERENCE + "ModelMetadata"].handle(
        service_pb2.ModelMetadataRequest(name="m"), CONTEXT
    )
    expected = service_pb2.ModelMetadataResponse(name="m", versions=["1", "2"], platform="p")
    expected.inputs.add(name="INPUT0", datatype="FP32", shape=[-1, 3])
    assert response == expected


async def test_metadata_of_an_unknown_model_is_not_found(gateway: GatewayDouble) -> None:
    with pytest.raises(NotFound):
        await model_rpcs(gateway)[INFERENCE + "ModelMetadata"].handle(
            service_pb2.ModelMetadataRequest(name="nobody"), CONTEXT
        )


async def test_model_config_is_the_protobuf_of_the_json_form(gateway: GatewayDouble) -> None:
    gateway.add_model("n", max_batch_size=4, dynamic_batching={"max_queue_delay_microseconds": 100})
    config = (
        await model_rpcs(gateway)[INFERENCE + "ModelConfig"].handle(service_pb2.ModelConfigRequest(name="n"), CONTEXT)
    ).config
    assert (config.name, config.max_batch_size, config.input[0].name) == ("n", 4, "INPUT0")
    assert config.dynamic_batching.max_queue_delay_microseconds == 100


async def test_model_config_follows_the_generation(gateway: GatewayDouble) -> None:
    rpcs = model_rpcs(gateway)
    request = service_pb2.ModelConfigRequest(name="m")
    assert (await rpcs[INFERENCE + "ModelConfig"].handle(request, CONTEXT)).config.max_batch_size == 0
    gateway.add_model("m", max_batch_size=8)
    assert (await rpcs[INFERENCE + "ModelConfig"].handle(request, CONTEXT)).config.max_batch_size == 8


async def test_statistics_of_one_model(gateway: GatewayDouble) -> None:
    response = await model_rpcs(gateway)[INFERENCE + "ModelStatistics"].handle(
        service_pb2.ModelStatisticsRequest(name="m"), CONTEXT
    )
    (row,) = response.model_stats
    assert (row.name, row.version, row.inference_stats.success.ns) == ("m", "1", 2**40)


async def test_statistics_without_a_name_are_those_of_all_models(gateway: GatewayDouble) -> None:
    response = await model_rpcs(gateway)[INFERENCE + "ModelStatistics"].handle(
        service_pb2.ModelStatisticsRequest(), CONTEXT
    )
    assert [row.name for row in response.model_stats] == ["every"]
