"""Python models for a worker on a stage: their sources, configurations and requests."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from shoal.core.messages import EndedExecutor, InferRequest
from worker_stage import Stage, eventually, floats

Request = tuple[InferRequest, list[bytes]]

PREAMBLE = """
import ctypes, os, signal, sys, time
import numpy as np
import triton_python_backend_utils as pb_utils

def value(request):
    return float(pb_utils.get_input_tensor_by_name(request, "A").as_numpy()[0, 0])

def answer(request):
    array = pb_utils.get_input_tensor_by_name(request, "A").as_numpy()
    return pb_utils.InferenceResponse([pb_utils.Tensor("X", array * 2)])
"""

DOUBLE = """
class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]
"""


def write_model(stage: Stage, source: str, name: str = "double") -> None:
    """Lay the model's file down; `source` finds `answer`, `value` and the usual modules."""
    directory = stage.directory / name / "1"
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(PREAMBLE + textwrap.dedent(source))


def configuration(name: str = "double", count: int = 1, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "backend": "python",
        "max_batch_size": 4,
        "input": [{"name": "A", "data_type": "TYPE_FP32", "dims": [1]}],
        "output": [{"name": "X", "data_type": "TYPE_FP32", "dims": [1]}],
        "instance_group": [{"name": name, "kind": "KIND_CPU", "count": count}],
        "parameters": {key: {"string_value": value} for key, value in (parameters or {}).items()},
    }


async def serve_model(stage: Stage, source: str, count: int = 1, **parameters: str) -> None:
    """Start an agent with one model; `parameters` are those of Shoal, without their prefix."""
    write_model(stage, source)
    named = {f"shoal.{name}": value for name, value in parameters.items()}
    await stage.desire(configuration(count=count, parameters=named))
    stage.start_agent()


def request_for(stage: Stage, value: float = 1.0, model: str = "double") -> Request:
    return stage.request([floats("A", [[value]])], model=model)


def ended(stage: Stage) -> list[EndedExecutor]:
    """What the agents tell of executors that ended."""
    agents = [peer for peer in stage.scheduler.bus.peers.values() if peer.role == "agent"]
    return [end for agent in agents for end in agent.heartbeat.ended]


async def end_of(stage: Stage, executor: str) -> EndedExecutor:
    """What is told of this executor's end."""

    def found() -> list[EndedExecutor]:
        return [end for end in ended(stage) if end.executor == executor]

    return (await eventually(found, f"the end of {executor}"))[0]
