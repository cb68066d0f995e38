"""Metadata of the server and of models in the HTTP protocol's JSON form."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from shoal.core.model_config import ModelConfig, ModelInput, ModelOutput

#: In Triton's order.
EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)


def of_server(server_id: str) -> dict[str, Any]:
    """What `/v2` answers; the version is that of the installed distribution."""
    return {"name": server_id, "version": version("shoal"), "extensions": list(EXTENSIONS)}


def of_model(config: ModelConfig, versions: Iterable[int]) -> dict[str, Any]:
    """What `/v2/models/M` answers. Shapes are the configuration's dims, with a leading -1 for a batching model."""
    return {
        "name": config.name,
        "versions": [str(number) for number in versions],
        "platform": config.platform or config.backend,
        "inputs": [_tensor(tensor, config.max_batch_size) for tensor in config.inputs],
        "outputs": [_tensor(tensor, config.max_batch_size) for tensor in config.outputs],
    }


def _tensor(tensor: ModelInput | ModelOutput, max_batch_size: int) -> dict[str, Any]:
    has_batch_dim = max_batch_size > 0 and not (isinstance(tensor, ModelInput) and tensor.is_shape_tensor)
    shape = [-1, *tensor.dims] if has_batch_dim else list(tensor.dims)
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}
