"""The model repository: its index, loading and unloading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.rpc import INFERENCE, CallContext, Rpcs, message_rpc
from shoal.gateway.grpc.schema import json_format, service_pb2
from shoal.gateway.model_control import CONFIG, FILE_PREFIX, UNLOAD_DEPENDENTS, LoadOverrides


def repository_rpcs(gateway: GatewayApi) -> Rpcs:
    """None of them knows repositories by name, as in Triton."""

    async def index(request: Any, context: CallContext) -> Any:
        _refuse_name(request)
        return json_format.ParseDict({"models": gateway.index(request.ready)}, service_pb2.RepositoryIndexResponse())

    async def load(request: Any, context: CallContext) -> Any:
        _refuse_name(request)
        await gateway.load(request.model_name, _overrides(request.parameters))
        return service_pb2.RepositoryModelLoadResponse()

    async def unload(request: Any, context: CallContext) -> Any:
        _refuse_name(request)
        await gateway.unload(request.model_name, _with_dependents(request.parameters))
        return service_pb2.RepositoryModelUnloadResponse()

    return {
        INFERENCE + "RepositoryIndex": message_rpc(service_pb2.RepositoryIndexRequest, index),
        INFERENCE + "RepositoryModelLoad": message_rpc(service_pb2.RepositoryModelLoadRequest, load),
        INFERENCE + "RepositoryModelUnload": message_rpc(service_pb2.RepositoryModelUnloadRequest, unload),
    }


def _refuse_name(request: Any) -> None:
    if request.repository_name:
        raise Unsupported("'repository_name' specification is not supported")


# The values of the map are generated protobuf messages, for which there are no types.
def _overrides(parameters: Mapping[str, Any]) -> LoadOverrides:
    config: str | None = None
    files: dict[str, bytes] = {}
    for name, value in parameters.items():
        if name == CONFIG:
            config = _expect(f"load parameter '{name}'", value, "string_param")
        elif name.startswith(FILE_PREFIX):
            files[name] = _expect(f"load parameter '{name}'", value, "bytes_param")
        else:
            raise InvalidArgument(f"unrecognized load parameter '{name}'.")
    return LoadOverrides(config, files)


def _with_dependents(parameters: Mapping[str, Any]) -> bool:
    if UNLOAD_DEPENDENTS not in parameters:
        return False
    chosen: bool = _expect(f"'{UNLOAD_DEPENDENTS}' parameter", parameters[UNLOAD_DEPENDENTS], "bool_param")
    return chosen


def _expect(what: str, value: Any, field: str) -> Any:
    if value.WhichOneof("parameter_choice") != field:
        raise InvalidArgument(f"invalid value type for {what}, expected {field}.")
    return getattr(value, field)
