"""What each endpoint and each RPC is: its category, and the scope that an API key needs for it.

A path that has no row here is not served, whatever routes there are: whoever adds one has to say what it is.
Rows: reference of the protocol, "restriction category".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shoal.core.api_category import Category
from shoal.core.api_keys import Scope


class Operation(NamedTuple):
    """`scope` None: any key will do. `is_open`: not even a key is needed, unless the operator wants one. Probes of a
    model are not open: they would tell which models there are."""

    category: Category
    scope: Scope | None
    is_open: bool = False


INFERENCE = Operation(Category.INFERENCE, Scope.INFER)
_SERVER_HEALTH = Operation(Category.HEALTH, None, is_open=True)
_MODEL_HEALTH = Operation(Category.HEALTH, None)

_MODEL = "/v2/models/[^/]+(?:/versions/[0-9]+)?"
_REGIONS = "/v2/(?:system|cuda)sharedmemory"
#: A category says that an operation looks or changes, by its method and the end of its path.
_PATHS: tuple[tuple[re.Pattern[bytes], Operation | Category], ...] = tuple(
    (re.compile(expression.encode()), what)
    for expression, what in (
        (f"{_MODEL}/(?:infer|generate|generate_stream)", INFERENCE),
        ("/v2/health/(?:live|ready)", _SERVER_HEALTH),
        (f"{_MODEL}/ready", _MODEL_HEALTH),
        (f"/v2/models/stats|{_MODEL}/stats", Operation(Category.STATISTICS, Scope.READ)),
        (f"/v2|{_MODEL}", Operation(Category.METADATA, Scope.READ)),
        (f"{_MODEL}/config", Operation(Category.MODEL_CONFIG, Scope.READ)),
        ("/v2/trace/setting|/v2/models/[^/]+/trace/setting", Category.TRACE),
        ("/v2/logging", Category.LOGGING),
        (
            "/v2/repository/(?:[^/]+/)?index|/v2/repository/(?:[^/]+/)?models/[^/]+/(?:load|unload)",
            Category.MODEL_REPOSITORY,
        ),
        (f"{_REGIONS}(?:/region/[^/]+)?/(?:status|register|unregister)", Category.SHARED_MEMORY),
    )
)
_LOOKS = (b"/index", b"/status")
_LOOKING_METHOD = "GET"

#: RPCs by method; with `manage` where a call may change something, which is known only when its message is read.
_RPCS = {
    "ServerLive": _SERVER_HEALTH,
    "ServerReady": _SERVER_HEALTH,
    "ModelReady": _MODEL_HEALTH,
    "ServerMetadata": Operation(Category.METADATA, Scope.READ),
    "ModelMetadata": Operation(Category.METADATA, Scope.READ),
    "ModelInfer": INFERENCE,
    "ModelStreamInfer": INFERENCE,
    "ModelConfig": Operation(Category.MODEL_CONFIG, Scope.READ),
    "ModelStatistics": Operation(Category.STATISTICS, Scope.READ),
    "RepositoryIndex": Operation(Category.MODEL_REPOSITORY, Scope.READ),
    "RepositoryModelLoad": Operation(Category.MODEL_REPOSITORY, Scope.MANAGE),
    "RepositoryModelUnload": Operation(Category.MODEL_REPOSITORY, Scope.MANAGE),
    "SystemSharedMemoryStatus": Operation(Category.SHARED_MEMORY, Scope.READ),
    "SystemSharedMemoryRegister": Operation(Category.SHARED_MEMORY, Scope.MANAGE),
    "SystemSharedMemoryUnregister": Operation(Category.SHARED_MEMORY, Scope.MANAGE),
    "CudaSharedMemoryStatus": Operation(Category.SHARED_MEMORY, Scope.READ),
    "CudaSharedMemoryRegister": Operation(Category.SHARED_MEMORY, Scope.MANAGE),
    "CudaSharedMemoryUnregister": Operation(Category.SHARED_MEMORY, Scope.MANAGE),
    "TraceSetting": Operation(Category.TRACE, Scope.MANAGE),
    "LogSettings": Operation(Category.LOGGING, Scope.MANAGE),
}
_RPC_PATHS = {
    "/grpc.health.v1.Health/Check": _SERVER_HEALTH,
    **{f"/inference.GRPCInferenceService/{method}": operation for method, operation in _RPCS.items()},
}


def http_operation(method: str, path: bytes) -> Operation | None:
    """What a request is, by its path as it came; None for a path that is none."""
    for expression, what in _PATHS:
        if expression.fullmatch(path):
            if isinstance(what, Operation):
                return what
            is_looking = method == _LOOKING_METHOD or path.endswith(_LOOKS)
            return Operation(what, Scope.READ if is_looking else Scope.MANAGE)
    return None


def rpc_operation(path: str) -> Operation | None:
    """What a call is, by its path `/package.Service/Method`; None for one that is not served."""
    return _RPC_PATHS.get(path)
