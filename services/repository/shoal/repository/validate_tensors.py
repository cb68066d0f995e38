"""Rules for inputs, outputs, their reshapes and the tensors that Triton makes for a whole batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem, suffixed

_VARIABLE = -1


def inputs(config: JsonForm) -> Iterator[Problem]:
    suffix = f" for {config['name']}"
    for tensor in config["input"]:
        yield from suffixed(_tensor(config, "input", tensor), suffix)
        yield from suffixed(_format(tensor), suffix)


def outputs(config: JsonForm) -> Iterator[Problem]:
    for tensor in config["output"]:
        yield from suffixed(_tensor(config, "output", tensor), f" for {config['name']}")


def unique_names(config: JsonForm) -> Iterator[Problem]:
    """A tensor that is configured twice would make every request ambiguous."""
    for kind in ("input", "output"):
        names = [tensor["name"] for tensor in config[kind]]
        for name in sorted({name for name in names if name and names.count(name) > 1}):
            yield Problem(f"model {kind} '{name}' is specified more than once for {config['name']}", (kind, name))


def batch_inputs(config: JsonForm) -> Iterator[Problem]:
    """Triton reads the batch tensors' sources from the inputs; a target name may be used only once."""
    known = {tensor["name"] for tensor in config["input"]}
    targets: set[str] = set()
    for batch_input in config["batch_input"]:
        sources = batch_input["source_input"]
        if batch_input["data_type"] not in ("TYPE_INT32", "TYPE_FP32"):
            yield Problem("batch input data type must be TYPE_INT32 or TYPE_FP32", ("batch_input",))
        yield from _target_names("input", batch_input["target_name"], targets, None)
        if len(sources) != 1:
            kind = batch_input["kind"]
            yield Problem(f"batch input kind '{kind}' expects 1 source input, got {len(sources)}", ("batch_input",))
        yield from _source_names("batch_input", sources, known)


def batch_outputs(config: JsonForm) -> Iterator[Problem]:
    known_inputs = {tensor["name"] for tensor in config["input"]}
    known_outputs = {tensor["name"] for tensor in config["output"]}
    targets: set[str] = set()
    for batch_output in config["batch_output"]:
        sources = batch_output["source_input"]
        yield from _target_names("output", batch_output["target_name"], targets, known_outputs)
        if len(sources) != 1:
            kind = batch_output["kind"]
            yield Problem(f"batch output kind '{kind}' expects 1 source input, got {len(sources)}", ("batch_output",))
        yield from _source_names("batch_output", sources, known_inputs)


def _target_names(kind: str, names: Sequence[str], seen: set[str], known: set[str] | None) -> Iterator[Problem]:
    where = f"batch_{kind}"
    if not names:
        yield Problem(f"batch {kind} must specify 'target_name'", (where,))
    for name in names:
        if known is not None and name not in known:
            yield Problem(f"unknown target output name '{name}'", (where, name))
        if name in seen:
            yield Problem(f"target {kind} name '{name}' can only be specified once", (where, name))
        seen.add(name)


def _source_names(where: str, sources: Sequence[str], known: set[str]) -> Iterator[Problem]:
    for name in sources:
        if name not in known:
            yield Problem(f"unknown source input name '{name}'", (where, name))


def _tensor(config: JsonForm, kind: str, tensor: dict[str, Any]) -> Iterator[Problem]:
    name, dims = tensor["name"], tensor["dims"]
    if not name:
        yield Problem(f"model {kind} must specify 'name'", (kind,))
        return
    prefix, where = f"model {kind} '{name}'", (kind, name)
    if not isinstance(tensor["data_type"], str) or tensor["data_type"] == "TYPE_INVALID":
        yield Problem(f"{prefix} must specify 'data_type'", where)
    if not dims:
        yield Problem(f"{prefix} must specify 'dims'", where)
    if not _all_sizes(dims):
        yield Problem(f"{prefix} dimension must be integer >= 1, or -1 to indicate a variable-size dimension", where)
    elif dims and "reshape" in tensor:
        reshape = tensor["reshape"]["shape"]
        yield from (Problem(f"{prefix} {text}", where) for text in _reshape(config["max_batch_size"], dims, reshape))
    yield from _tensorrt_only(config, kind, tensor)


def _reshape(max_batch_size: int, dims: Sequence[int], shape: Sequence[int]) -> Iterator[str]:
    if not shape and max_batch_size == 0:
        yield "cannot have empty reshape for non-batching model as scalar tensors are not supported"
    elif not _all_sizes(shape):
        yield "reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension"
    elif dims.count(_VARIABLE) != shape.count(_VARIABLE):
        # Triton compares the element counts first: -1 against a number is a difference in size to it.
        one_is_fixed = _VARIABLE not in dims or _VARIABLE not in shape
        yield (
            "has different size for dims and reshape"
            if one_is_fixed
            else "has different number of variable-size dimensions for dims and reshape"
        )
    elif _segments(dims) != _segments(shape):
        yield "has different size for dims and reshape"


def _segments(shape: Sequence[int]) -> list[int]:
    """Elements before, between and behind the variable dimensions."""
    products: list[int] = []
    segment: list[int] = []
    for size in shape:
        if size == _VARIABLE:
            products.append(prod(segment))
            segment = []
        else:
            segment.append(size)
    return [*products, prod(segment)]


def _all_sizes(shape: Sequence[int]) -> bool:
    return all(size >= 1 or size == _VARIABLE for size in shape)


def _format(tensor: dict[str, Any]) -> Iterator[Problem]:
    if tensor["format"] != "FORMAT_NONE" and len(tensor["dims"]) != 3:
        yield Problem("model input NHWC/NCHW require 3 dims", ("input", tensor["name"]))


def _tensorrt_only(config: JsonForm, kind: str, tensor: dict[str, Any]) -> Iterator[Problem]:
    prefix, where = f"model {kind} '{tensor['name']}'", (kind, tensor["name"])
    is_tensorrt = config["backend"] == "tensorrt"
    if tensor["is_shape_tensor"] and not is_tensorrt:
        yield Problem(f"{prefix} shape tensors are only supported for TensorRT platform", where)
    if tensor["is_non_linear_format_io"]:
        if not is_tensorrt:
            yield Problem(f"{prefix} non-linear IO formats are only supported for TensorRT platform", where)
        elif len(tensor["dims"]) != 3:
            yield Problem(f"{prefix} non-linear IO format requires 3 dims", where)
