"""Of a model its readiness, metadata, configuration and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.model_version import parse_version
from shoal.gateway.grpc.rpc import INFERENCE, CallContext, Rpcs, message_rpc
from shoal.gateway.grpc.schema import json_format, model_config_pb2, service_pb2

#: How many converted model configurations are kept.
_CONFIGS_KEPT = 256


def model_rpcs(gateway: GatewayApi) -> Rpcs:
    """Readiness, metadata and configuration are freshened before anything is denied."""
    configs = _Configs()

    async def ready(request: Any, context: CallContext) -> Any:
        version = parse_version(request.version)
        await gateway.freshen(request.name, version)
        return service_pb2.ModelReadyResponse(ready=gateway.model_ready(request.name, version))

    async def metadata(request: Any, context: CallContext) -> Any:
        version = parse_version(request.version)
        await gateway.freshen(request.name, version)
        document = gateway.metadata(request.name, version)
        return json_format.ParseDict(document, service_pb2.ModelMetadataResponse())

    async def config(request: Any, context: CallContext) -> Any:
        name, version = request.name, parse_version(request.version)
        await gateway.freshen(name, version)
        return service_pb2.ModelConfigResponse(config=configs.message(name, version, gateway.config(name, version)))

    async def statistics(request: Any, context: CallContext) -> Any:
        rows = await gateway.statistics(request.name or None, parse_version(request.version))
        return json_format.ParseDict({"model_stats": rows}, service_pb2.ModelStatisticsResponse())

    return {
        INFERENCE + "ModelReady": message_rpc(service_pb2.ModelReadyRequest, ready),
        INFERENCE + "ModelMetadata": message_rpc(service_pb2.ModelMetadataRequest, metadata),
        INFERENCE + "ModelConfig": message_rpc(service_pb2.ModelConfigRequest, config),
        INFERENCE + "ModelStatistics": message_rpc(service_pb2.ModelStatisticsRequest, statistics),
    }


class _Configs:
    """Configurations as messages, made once per generation: the gateway gives the same object until then."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int | None], tuple[Mapping[str, Any], Any]] = {}

    def message(self, name: str, version: int | None, raw: Mapping[str, Any]) -> Any:
        kept = self._kept.get((name, version))
        if kept is None or kept[0] is not raw:
            kept = (raw, json_format.ParseDict(dict(raw), model_config_pb2.ModelConfig()))
            if len(self._kept) >= _CONFIGS_KEPT:
                self._kept.clear()
            self._kept[name, version] = kept
        return kept[1]
