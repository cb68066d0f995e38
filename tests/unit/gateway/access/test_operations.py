from __future__ import annotations

import pytest

from shoal.core.api_category import Category
from shoal.core.api_keys import Scope
from shoal.gateway.access.operations import INFERENCE, http_operation, rpc_operation


@pytest.mark.parametrize(
    ("method", "path", "category", "scope"),
    [
        ("GET", "/v2", Category.METADATA, Scope.READ),
        ("GET", "/v2/models/m", Category.METADATA, Scope.READ),
        ("GET", "/v2/models/stats", Category.STATISTICS, Scope.READ),
        ("GET", "/v2/models/m/versions/3/stats", Category.STATISTICS, Scope.READ),
        ("GET", "/v2/models/m/config", Category.MODEL_CONFIG, Scope.READ),
        ("GET", "/v2/models/m/versions/3/ready", Category.HEALTH, None),
        ("POST", "/v2/models/m/generate_stream", Category.INFERENCE, Scope.INFER),
        ("POST", "/v2/models/m/versions/3/infer", Category.INFERENCE, Scope.INFER),
        ("GET", "/v2/logging", Category.LOGGING, Scope.READ),
        ("POST", "/v2/logging", Category.LOGGING, Scope.MANAGE),
        ("GET", "/v2/models/m/trace/setting", Category.TRACE, Scope.READ),
        ("POST", "/v2/trace/setting", Category.TRACE, Scope.MANAGE),
        ("POST", "/v2/repository/index", Category.MODEL_REPOSITORY, Scope.READ),
        ("POST", "/v2/repository/r/index", Category.MODEL_REPOSITORY, Scope.READ),
        ("POST", "/v2/repository/models/m/load", Category.MODEL_REPOSITORY, Scope.MANAGE),
        ("POST", "/v2/repository/r/models/m/unload", Category.MODEL_REPOSITORY, Scope.MANAGE),
        ("GET", "/v2/systemsharedmemory/status", Category.SHARED_MEMORY, Scope.READ),
        ("GET", "/v2/cudasharedmemory/region/r/status", Category.SHARED_MEMORY, Scope.READ),
        ("POST", "/v2/systemsharedmemory/region/r/register", Category.SHARED_MEMORY, Scope.MANAGE),
        ("POST", "/v2/cudasharedmemory/unregister", Category.SHARED_MEMORY, Scope.MANAGE),
    ],
)
def test_a_path_has_its_category_and_scope(method: str, path: str, category: Category, scope: Scope | None) -> None:
    operation = http_operation(method, path.encode())
    assert operation is not None
    assert (operation.category, operation.scope) == (category, scope)


@pytest.mark.parametrize("path", ["/", "/v2/", "/v2/models", "/v2/models/m/", "/v2/models/m/versions/x", "/metrics"])
def test_other_paths_are_none(path: str) -> None:
    assert http_operation("GET", path.encode()) is None


def test_probes_of_the_server_alone_are_open() -> None:
    opened = [http_operation("GET", path) for path in (b"/v2/health/live", b"/v2/health/ready", b"/v2/models/m/ready")]
    assert [operation is not None and operation.is_open for operation in opened] == [True, True, False]


def test_streams_are_inference_and_what_may_change_something_is_to_be_managed() -> None:
    assert rpc_operation("/inference.GRPCInferenceService/ModelStreamInfer") == INFERENCE
    settings = rpc_operation("/inference.GRPCInferenceService/LogSettings")
    assert settings is not None and settings.scope is Scope.MANAGE
    assert rpc_operation("/grpc.health.v1.Health/Watch") is None
