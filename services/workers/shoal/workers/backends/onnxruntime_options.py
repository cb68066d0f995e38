"""Session options of the onnxruntime backend as a configuration spells them. Pure: no framework is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.core.model_config import ModelConfig

#: `optimization.graph.level` -> name of an `onnxruntime.GraphOptimizationLevel`.
_GRAPH_LEVELS = {
    -1: "ORT_ENABLE_BASIC",
    0: "ORT_ENABLE_ALL",
    1: "ORT_ENABLE_EXTENDED",
    2: "ORT_DISABLE_ALL",
}

#: Threads that spin between requests burn a core each; workers share cores.
_DEFAULT_ENTRIES = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}

_SESSION_PREFIX = "session."


class SessionSettings(NamedTuple):
    """Threads: 0 means as many as there are cores. `arena_shrinkage` is empty or a device list such as `cpu:0`."""

    intra_op_threads: int
    inter_op_threads: int
    execution_mode: str
    graph_level: str
    enable_mem_arena: bool
    enable_mem_pattern: bool
    entries: Mapping[str, str]
    arena_shrinkage: str


#: For looking at a model without executing it: as cheap as the runtime can.
DESCRIBING = SessionSettings(
    intra_op_threads=1,
    inter_op_threads=1,
    execution_mode="ORT_SEQUENTIAL",
    graph_level="ORT_DISABLE_ALL",
    enable_mem_arena=False,
    enable_mem_pattern=False,
    entries={},
    arena_shrinkage="",
)


class GlobalThreads(NamedTuple):
    """Sizes of the one thread pool that all sessions of a process share; fields are named as the settings are."""

    intra_op_thread_count: int
    inter_op_thread_count: int


def session_settings(config: ModelConfig) -> SessionSettings:
    """Raises InvalidArgument for a value that cannot be read or an unknown accelerator, Unsupported for a known one
    that this build does not have."""
    _refuse_accelerators(config)
    parameters = config.parameters
    entries = {key: value for key, value in parameters.items() if key.startswith(_SESSION_PREFIX)}
    return SessionSettings(
        intra_op_threads=_number(config, "intra_op_thread_count", 0),
        inter_op_threads=_number(config, "inter_op_thread_count", 0),
        execution_mode="ORT_PARALLEL" if _number(config, "execution_mode", 0) == 1 else "ORT_SEQUENTIAL",
        graph_level=_graph_level(config),
        enable_mem_arena=_number(config, "enable_mem_arena", 1) != 0,
        enable_mem_pattern=_number(config, "enable_mem_pattern", 1) != 0,
        entries=_DEFAULT_ENTRIES | entries,
        arena_shrinkage=parameters.get("memory.enable_memory_arena_shrinkage", ""),
    )


def global_threads(backend_config: Mapping[str, str]) -> GlobalThreads | None:
    """The pool that `--backend-config=onnxruntime,enable-global-threadpool=1` asks for, None without it."""
    if backend_config.get("enable-global-threadpool", "0") != "1":
        return None
    counts = [_whole("backend setting", key, backend_config.get(key, "0")) for key in GlobalThreads._fields]
    return GlobalThreads(*counts)


def _number(config: ModelConfig, key: str, default: int) -> int:
    return _whole(f"model '{config.name}': parameter", key, config.parameters.get(key, str(default)))


def _whole(what: str, key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{what} '{key}' is '{text}', expected a whole number") from None


def _graph_level(config: ModelConfig) -> str:
    level = int(_optimization(config).get("graph", {}).get("level", 0))
    if level not in _GRAPH_LEVELS:
        raise InvalidArgument(f"model '{config.name}': optimization.graph.level is {level}, expected -1, 0, 1 or 2")
    return _GRAPH_LEVELS[level]


def _refuse_accelerators(config: ModelConfig) -> None:
    """GPU accelerators do not concern instances on the CPU, whatever they are."""
    for accelerator in _optimization(config).get("execution_accelerators", {}).get("cpu_execution_accelerator", ()):
        name = accelerator.get("name", "")
        if name != "openvino":
            raise InvalidArgument(f"unknown Execution Accelerator '{name}' is requested")
        raise Unsupported("OpenVINO Execution Accelerator is not enabled")


def _optimization(config: ModelConfig) -> Mapping[str, Any]:
    found: Mapping[str, Any] = config.raw.get("optimization", {})
    return found
