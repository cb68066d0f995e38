"""Python models for tests of the backend alone: their source, what they are given, and what they gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import numpy.typing as npt

from requests_to_execute import no_sender
from shoal.core.model_config import from_json
from shoal.core.tensors import Tensor
from shoal.workers.backend import ModelSource, Request, Sender

X = {"name": "X", "data_type": "TYPE_FP32", "dims": [4]}
Y = {"name": "Y", "data_type": "TYPE_FP32", "dims": [4]}


def source_of(directory: Path, text: str, **config: Any) -> ModelSource:
    """A model `m` whose `model.py` is this text, laid down in the directory."""
    (directory / "1").mkdir()
    (directory / "1" / "model.py").write_text(dedent(text))
    raw = {"name": "m", "max_batch_size": 0, "input": [X], "output": [Y]} | config
    return ModelSource("m", 1, str(directory), from_json(raw), {})


def request(
    array: npt.NDArray[Any] | None = None,
    *,
    outputs: Sequence[str] = (),
    batch_size: int = 0,
    parameters: Mapping[str, int | str] | None = None,
    sender: Sender | None = None,
) -> Request:
    """A request with the input X: these numbers, or 0 to 3."""
    given = np.arange(4, dtype=np.float32) if array is None else array
    inputs = (Tensor("X", "FP32", given.shape, memoryview(given.tobytes())),)
    return Request(
        "id",
        0,
        0,
        0,
        0,
        batch_size,
        inputs,
        tuple(outputs),
        parameters or {},
        "",
        is_cancelled=lambda: False,
        open_sender=no_sender if sender is None else lambda: sender,
    )


def values(tensor: Tensor, dtype: npt.DTypeLike = np.float32) -> list[Any]:
    found: list[Any] = np.frombuffer(tensor.data, dtype).tolist()
    return found
