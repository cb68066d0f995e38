"""A backend whose instances all live in one process, as onnxruntime's do, and where one number is poison."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from idle_backend import IdleBackend
from shoal.core.tensors import Tensor
from shoal.workers.backend import Execution, Request, Response

NAME = "shared_numbers"
POISON = 666


class SharedNumbers(IdleBackend):
    """Answers INT32 `IN` with `OUT`, one more; dies of `POISON`."""

    def execute(self, requests: Sequence[Request]) -> Execution:
        began_ns = time.monotonic_ns()
        responses = [Response((_increased(request.inputs[0]),), {}, None) for request in requests]
        return Execution(responses, began_ns, time.monotonic_ns())


def _increased(given: Tensor) -> Tensor:
    numbers = np.frombuffer(given.data, np.int32)
    if POISON in numbers:
        ctypes.string_at(0)
    return Tensor("OUT", "INT32", given.shape, (numbers + 1).astype(np.int32).tobytes())


def install(folder: Path) -> dict[str, str]:
    """Make it a backend by a distribution in `folder`; returns the environment in which it is found."""
    metadata = folder / f"{NAME}-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[shoal.backends]\n{NAME} = {__name__}:{SharedNumbers.__name__}\n")
    places = [str(folder), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(places)}
