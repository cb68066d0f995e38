"""One method per RPC: a protobuf request in, a protobuf response out; nothing here knows how messages travel.

Errors are ShoalErrors, which know their gRPC status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shoal.core.errors import Unsupported
from shoal.gateway.grpc.convert import InferMessage, Received, classified, to_call, wanted_classes
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.model_version import parse_version
from shoal.gateway.grpc.schema import json_format, model_config_pb2, service_pb2
from shoal.gateway.request import InferAnswer

#: `grpc.health.v1.HealthCheckResponse` with status SERVING and NOT_SERVING: one enum field, not worth a schema.
_SERVING = b"\x08\x01"
_NOT_SERVING = b"\x08\x02"

#: How many converted model configurations are kept.
_CONFIGS_KEPT = 256


class CallContext(NamedTuple):
    """What an RPC carries besides its message. `deadline_s` is a reading of `time.monotonic()` or None."""

    deadline_s: float | None = None
    traceparent: str = ""


class Handlers:
    """The RPCs of `inference.GRPCInferenceService` and of `grpc.health.v1.Health` on top of one gateway.

    To be used from the event loop only.
    """

    # Requests and responses are generated protobuf messages, for which there are no types: `Any` throughout.

    def __init__(self, gateway: GatewayApi) -> None:
        self._gateway = gateway
        self._configs: dict[tuple[str, int | None], tuple[Mapping[str, Any], Any]] = {}

    async def server_live(self, request: Any, context: CallContext) -> Any:
        return service_pb2.ServerLiveResponse(live=self._gateway.server_live())

    async def server_ready(self, request: Any, context: CallContext) -> Any:
        return service_pb2.ServerReadyResponse(ready=self._gateway.server_ready())

    async def health_check(self, request: Received, context: CallContext) -> bytes:
        """Triton's answer is the readiness, whichever service is named."""
        return _SERVING if self._gateway.server_ready() else _NOT_SERVING

    async def model_ready(self, request: Any, context: CallContext) -> Any:
        version = parse_version(request.version)
        await self._gateway.freshen(request.name, version)
        return service_pb2.ModelReadyResponse(ready=self._gateway.model_ready(request.name, version))

    async def server_metadata(self, request: Any, context: CallContext) -> Any:
        return json_format.ParseDict(self._gateway.server_metadata(), service_pb2.ServerMetadataResponse())

    async def model_metadata(self, request: Any, context: CallContext) -> Any:
        version = parse_version(request.version)
        await self._gateway.freshen(request.name, version)
        metadata = self._gateway.metadata(request.name, version)
        return json_format.ParseDict(metadata, service_pb2.ModelMetadataResponse())

    async def model_config(self, request: Any, context: CallContext) -> Any:
        key = (request.name, parse_version(request.version))
        await self._gateway.freshen(*key)
        raw = self._gateway.config(*key)
        cached = self._configs.get(key)
        if cached is None or cached[0] is not raw:
            cached = (raw, json_format.ParseDict(dict(raw), model_config_pb2.ModelConfig()))
            if len(self._configs) >= _CONFIGS_KEPT:
                self._configs.clear()
            self._configs[key] = cached
        return service_pb2.ModelConfigResponse(config=cached[1])

    async def model_statistics(self, request: Any, context: CallContext) -> Any:
        rows = await self._gateway.statistics(request.name or None, parse_version(request.version))
        return json_format.ParseDict({"model_stats": rows}, service_pb2.ModelStatisticsResponse())

    async def repository_index(self, request: Any, context: CallContext) -> Any:
        if request.repository_name:
            raise Unsupported("'repository_name' specification is not supported")
        return json_format.ParseDict(
            {"models": self._gateway.index(request.ready)}, service_pb2.RepositoryIndexResponse()
        )

    async def model_infer(self, message: InferMessage, context: CallContext) -> InferAnswer:
        """Raises Unsupported for a decoupled model, which only a stream can serve."""
        request = message.request
        served = await self._gateway.look_up(request.model_name, parse_version(request.model_version))
        if served.config.decoupled:
            raise Unsupported("ModelInfer RPC doesn't support models with decoupled transaction policy")
        classes = wanted_classes(message)
        execution = self._gateway.infer(to_call(message, context.deadline_s, context.traceparent))
        del message, request  # a copy of the tensors is made, for which the message need not be kept
        answer = await execution
        return classified(answer, classes, served) if classes else answer
