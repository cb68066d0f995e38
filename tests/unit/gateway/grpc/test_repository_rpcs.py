"""The RPCs about the repository, on top of a gateway in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.gateway.grpc.repository_rpcs import repository_rpcs
from shoal.gateway.grpc.rpc import INFERENCE, CallContext
from shoal.gateway.grpc.schema import service_pb2
from shoal.gateway.model_control import LoadOverrides

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble

CONTEXT = CallContext()


async def test_the_index_may_be_limited_to_ready_models(gateway: GatewayDouble) -> None:
    rpcs = repository_rpcs(gateway)
    all_rows = await rpcs[INFERENCE + "RepositoryIndex"].handle(service_pb2.RepositoryIndexRequest(), CONTEXT)
    ready = await rpcs[INFERENCE + "RepositoryIndex"].handle(service_pb2.RepositoryIndexRequest(ready=True), CONTEXT)
    assert [(row.name, row.version, row.state) for row in all_rows.models] == [("a", "1", "READY"), ("b", "", "")]
    assert [row.name for row in ready.models] == ["a"]


async def call(gateway: GatewayDouble, method: str, request: Any) -> Any:
    return await repository_rpcs(gateway)[INFERENCE + method].handle(request, CONTEXT)


@pytest.mark.parametrize("method", ["RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"])
async def test_repositories_have_no_names(gateway: GatewayDouble, method: str) -> None:
    request = getattr(service_pb2, method + "Request")(repository_name="r")
    with pytest.raises(Unsupported, match="'repository_name' specification is not supported"):
        await call(gateway, method, request)


async def test_a_model_is_loaded_with_what_replaces_its_files(gateway: GatewayDouble) -> None:
    request = service_pb2.RepositoryModelLoadRequest(model_name="m")
    await call(gateway, "RepositoryModelLoad", request)
    request.parameters["config"].string_param = "{}"
    request.parameters["file:1/model.py"].bytes_param = b"\xff"
    await call(gateway, "RepositoryModelLoad", request)
    assert gateway.loaded == [("m", LoadOverrides(None, {})), ("m", LoadOverrides("{}", {"file:1/model.py": b"\xff"}))]


async def test_a_model_is_unloaded_with_or_without_what_only_it_used(gateway: GatewayDouble) -> None:
    request = service_pb2.RepositoryModelUnloadRequest(model_name="m")
    request.parameters["other"].string_param = "means nothing"
    await call(gateway, "RepositoryModelUnload", request)
    request.parameters["unload_dependents"].bool_param = True
    await call(gateway, "RepositoryModelUnload", request)
    assert gateway.unloaded == [("m", False), ("m", True)]


@pytest.mark.parametrize(
    ("method", "key", "field", "text"),
    [
        ("Load", "config", "bytes_param", "invalid value type for load parameter 'config', expected string_param."),
        ("Load", "file:a", "string_param", "invalid value type for load parameter 'file:a', expected bytes_param."),
        ("Load", "other", "string_param", "unrecognized load parameter 'other'."),
        (
            "Unload",
            "unload_dependents",
            "string_param",
            "invalid value type for 'unload_dependents' parameter, expected bool_param.",
        ),
    ],
)
async def test_parameters_of_another_kind_are_refused(
    gateway: GatewayDouble, method: str, key: str, field: str, text: str
) -> None:
    request = getattr(service_pb2, f"RepositoryModel{method}Request")(model_name="m")
    setattr(request.parameters[key], field, b"x" if field == "bytes_param" else "x")
    with pytest.raises(InvalidArgument, match=text):
        await call(gateway, f"RepositoryModel{method}", request)
    assert (gateway.loaded, gateway.unloaded) == ([], [])
