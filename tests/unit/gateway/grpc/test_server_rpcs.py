"""The RPCs about the server, on top of a gateway in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.gateway.grpc.rpc import HEALTH, INFERENCE, CallContext
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.grpc.server_rpcs import server_rpcs

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

CONTEXT = CallContext()


async def test_the_server_is_live_and_ready(gateway: GatewayDouble) -> None:
    rpcs = server_rpcs(gateway)
    assert (await rpcs[INFERENCE + "ServerLive"].handle(service_pb2.ServerLiveRequest(), CONTEXT)).live
    assert (await rpcs[INFERENCE + "ServerReady"].handle(service_pb2.ServerReadyRequest(), CONTEXT)).ready


async def test_a_draining_server_is_live_but_not_ready(gateway: GatewayDouble) -> None:
    rpcs = server_rpcs(gateway)
    gateway.is_draining = True
    assert (await rpcs[INFERENCE + "ServerLive"].handle(service_pb2.ServerLiveRequest(), CONTEXT)).live
    assert not (await rpcs[INFERENCE + "ServerReady"].handle(service_pb2.ServerReadyRequest(), CONTEXT)).ready
    assert await rpcs[HEALTH + "Check"].handle(b"", CONTEXT) == b"\x08\x02"


async def test_the_standard_health_check_ignores_the_service_name(gateway: GatewayDouble) -> None:
    assert await server_rpcs(gateway)[HEALTH + "Check"].handle(b"\x0a\x01x", CONTEXT) == b"\x08\x01"


async def test_server_metadata(gateway: GatewayDouble) -> None:
    response = await server_rpcs(gateway)[INFERENCE + "ServerMetadata"].handle(
        service_pb2.ServerMetadataRequest(), CONTEXT
    )
    expected = service_pb2.ServerMetadataResponse(name="double", version="9", extensions=["statistics"])
    assert response == expected
