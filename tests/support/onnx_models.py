"""Tiny ONNX models for tests, with the versions that the oldest supported runtime reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper, save

Dims = Sequence[int | str | None]

FLOAT, STRING, BFLOAT16 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.BFLOAT16


def write_model(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[tuple[str, int, Dims]],
    outputs: Sequence[tuple[str, int, Dims]],
    initializers: Sequence[Any] = (),
) -> Path:
    """Write a model of these nodes; `inputs` and `outputs` are (name, element type, dims)."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in outputs],
        list(initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, str(path))
    return path


def write_add(path: Path, dims: Dims = ("batch", 4), element_type: int = FLOAT) -> Path:
    """SUM = A + B."""
    nodes = [helper.make_node("Add", ["A", "B"], ["SUM"])]
    inputs = [("A", element_type, dims), ("B", element_type, dims)]
    return write_model(path, nodes, inputs, [("SUM", element_type, dims)])


def write_add_sub(path: Path, dims: Dims = ("batch", 4)) -> Path:
    """SUM = A + B, DIFF = A - B."""
    nodes = [helper.make_node("Add", ["A", "B"], ["SUM"]), helper.make_node("Sub", ["A", "B"], ["DIFF"])]
    inputs = [("A", FLOAT, dims), ("B", FLOAT, dims)]
    return write_model(path, nodes, inputs, [("SUM", FLOAT, dims), ("DIFF", FLOAT, dims)])


def write_identity(path: Path, element_type: int, dims: Dims = ("batch", 2)) -> Path:
    """OUT = IN."""
    nodes = [helper.make_node("Identity", ["IN"], ["OUT"])]
    return write_model(path, nodes, [("IN", element_type, dims)], [("OUT", element_type, dims)])
