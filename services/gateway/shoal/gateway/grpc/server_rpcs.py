"""The server itself: live, ready, metadata, and the standard health check."""

from __future__ import annotations

from typing import Any

from shoal.gateway.grpc.convert import Received
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.rpc import HEALTH, INFERENCE, CallContext, Rpcs, bytes_rpc, message_rpc
from shoal.gateway.grpc.schema import json_format, service_pb2

#: `grpc.health.v1.HealthCheckResponse` with status SERVING and NOT_SERVING: one enum field, not worth a schema.
_SERVING = b"\x08\x01"
_NOT_SERVING = b"\x08\x02"


def server_rpcs(gateway: GatewayApi) -> Rpcs:
    """The health check's answer is the readiness, whichever service is named, as Triton's is."""

    async def live(request: Any, context: CallContext) -> Any:
        return service_pb2.ServerLiveResponse(live=gateway.server_live())

    async def ready(request: Any, context: CallContext) -> Any:
        return service_pb2.ServerReadyResponse(ready=gateway.server_ready())

    async def metadata(request: Any, context: CallContext) -> Any:
        return json_format.ParseDict(gateway.server_metadata(), service_pb2.ServerMetadataResponse())

    async def check(request: Received, context: CallContext) -> bytes:
        return _SERVING if gateway.server_ready() else _NOT_SERVING

    return {
        INFERENCE + "ServerLive": message_rpc(service_pb2.ServerLiveRequest, live),
        INFERENCE + "ServerReady": message_rpc(service_pb2.ServerReadyRequest, ready),
        INFERENCE + "ServerMetadata": message_rpc(service_pb2.ServerMetadataRequest, metadata),
        HEALTH + "Check": bytes_rpc(check),
    }
