"""Models and calls as the gateway's tests need them: built from the JSON form of a configuration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.messages import READY, InstanceStatus
from shoal.core.model_config import from_json
from shoal.core.tensors import Tensor
from shoal.gateway.models import ServedVersion
from shoal.gateway.request import InferCall
from shoal.memory import Block, Packed

#: Inputs that travel in the message.
INLINE = Packed((), [], None)


def in_block(generation: int) -> Packed:
    """Inputs in a block of shared memory, of which only this is known."""
    return Packed((), [], cast(Block, SimpleNamespace(generation=generation)))


def tensor_config(name: str, data_type: str, dims: list[int], **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "dims": dims, **more}


def add_sub(**more: Any) -> dict[str, Any]:
    """Two INT32[4] inputs, two outputs, no batching."""
    return {
        "name": "addsub",
        "backend": "python",
        "max_batch_size": 0,
        "input": [tensor_config("LEFT", "TYPE_INT32", [4]), tensor_config("RIGHT", "TYPE_INT32", [4])],
        "output": [tensor_config("SUM", "TYPE_INT32", [4]), tensor_config("DIFF", "TYPE_INT32", [4])],
        **more,
    }


def one_input(data_type: str, dims: list[int], max_batch_size: int = 0, **more: Any) -> dict[str, Any]:
    """A model `m` with one input X and one output Y of the same type and dims."""
    return {
        "name": "m",
        "backend": "python",
        "max_batch_size": max_batch_size,
        "input": [tensor_config("X", data_type, dims)],
        "output": [tensor_config("Y", data_type, dims)],
        **more,
    }


def served(config: dict[str, Any], version: int = 1, generation: str = "g1") -> ServedVersion:
    return ServedVersion(config["name"], version, generation, from_json(config), {})


def entry(config: dict[str, Any], *versions: int, generation: str = "g1", **more: Any) -> ModelEntry:
    fields: dict[str, Any] = {
        "schema": 1,
        "model": config["name"],
        "generation": generation,
        "path": "/models/" + config["name"],
        "backend": config["backend"],
        "versions": {version: VersionEntry(config, {}) for version in versions},
        "failed_versions": (),
        "reason": "",
        "backend_config": {},
    }
    return ModelEntry(**(fields | more))


def instance(model: str, version: int, state: str = READY, generation: str = "g1", reason: str = "") -> InstanceStatus:
    return InstanceStatus(model, version, generation, f"{model}_0", "executor-1", 0, state, reason)


def int32(name: str, values: list[int]) -> Tensor:
    return Tensor(name, "INT32", (len(values),), np.array(values, "<i4").tobytes())


def call(*inputs: Tensor, **more: Any) -> InferCall:
    """A call of `addsub`, version unspecified; `more` replaces fields."""
    fields: dict[str, Any] = {
        "model": "addsub",
        "version": None,
        "request_id": "",
        "correlation_id": 0,
        "flags": 0,
        "priority": 0,
        "timeout_us": 0,
        "deadline_s": None,
        "inputs": inputs,
        "outputs": (),
        "parameters": {},
        "traceparent": "",
    }
    return InferCall(**(fields | more))
