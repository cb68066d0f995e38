"""Does a configuration fit what a model file says of its tensors, and what is missing in it. Pure; shared by backends
whose frameworks know names, datatypes and shapes. Wordings are Triton's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from shoal.core.datatypes import shape_text, to_config
from shoal.core.errors import InvalidArgument
from shoal.core.model_config import ModelConfig, ModelInput, ModelOutput

Side = Literal["input", "output"]

#: The batch size limit of a batching model that does not say one itself, unless `--backend-config` does.
DEFAULT_MAX_BATCH_SIZE = 4


class TensorSignature(NamedTuple):
    """A tensor as the model declares it: protocol datatype, full shape with -1 for what varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelSignature(NamedTuple):
    """`optional_inputs` have a default inside the model and may be left out."""

    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    optional_inputs: tuple[TensorSignature, ...] = ()


def complete(config: ModelConfig, model: ModelSignature, backend_config: Mapping[str, str]) -> dict[str, Any]:
    """The configuration's JSON form with what the model knows: batching, inputs and outputs that are not given, and
    dynamic batching for a batching model without a scheduler.

    Raises InvalidArgument when the configuration wants batching and the model cannot.
    """
    raw = dict(config.raw)
    limit = config.max_batch_size
    if _supports_batching(model):
        if limit == 0:
            limit = _default_max_batch_size(backend_config)
    elif limit != 0:
        raise InvalidArgument(
            f"autofill failed for model '{config.name}': model does not support batching while non-zero max_batch_size "
            "is specified"
        )
    raw |= {"max_batch_size": limit}
    schedulers = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")
    if limit > 1 and not any(scheduler in raw for scheduler in schedulers):
        raw["dynamic_batching"] = {}
    if not config.inputs:
        raw["input"] = [_field(tensor, limit) for tensor in model.inputs]
    if not config.outputs:
        raw["output"] = [_field(tensor, limit) for tensor in model.outputs]
    return raw


def _default_max_batch_size(backend_config: Mapping[str, str]) -> int:
    text = backend_config.get("default-max-batch-size", str(DEFAULT_MAX_BATCH_SIZE))
    try:
        return max(int(text), 0)
    except ValueError:
        raise InvalidArgument(f"backend setting default-max-batch-size is '{text}', expected a whole number") from None


def _supports_batching(model: ModelSignature) -> bool:
    return all(tensor.shape[:1] == (-1,) for tensor in (*model.inputs, *model.outputs))


def _field(tensor: TensorSignature, max_batch_size: int) -> dict[str, Any]:
    dims = tensor.shape[1:] if max_batch_size > 0 else tensor.shape
    field: dict[str, Any] = {"name": tensor.name, "data_type": to_config(tensor.datatype), "dims": list(dims) or [1]}
    if not dims and max_batch_size > 0:
        field["reshape"] = {"shape": []}
    return field


def check(config: ModelConfig, model: ModelSignature) -> None:
    """Raises InvalidArgument with the first thing in which configuration and model disagree: count of inputs, names,
    datatypes, dims."""
    extra = _extra_inputs(config)
    required = len([i for i in config.inputs if not i.optional]) + len(extra)
    if required != len(model.inputs):
        raise InvalidArgument(
            f"unable to load model '{config.name}', configuration expects {required} inputs, model provides "
            f"{len(model.inputs)}"
        )
    known = {tensor.name: tensor for tensor in (*model.inputs, *model.optional_inputs)}
    for name in extra:
        _expect_known("input", name, known)
    _check_side("input", config, config.inputs, known)
    _check_side("output", config, config.outputs, {tensor.name: tensor for tensor in model.outputs})


def _extra_inputs(config: ModelConfig) -> list[str]:
    """Inputs that no client sends: sequence controls and states."""
    sequence = config.raw.get("sequence_batching", {})
    controls = [control["name"] for control in sequence.get("control_input", ())]
    return controls + [state["input_name"] for state in sequence.get("state", ())]


def _check_side(
    side: Side,
    config: ModelConfig,
    fields: Sequence[ModelInput | ModelOutput],
    known: Mapping[str, TensorSignature],
) -> None:
    for field in fields:
        _expect_known(side, field.name, known)
        tensor = known[field.name]
        if field.datatype != tensor.datatype:
            raise InvalidArgument(
                f"unable to load model '{config.name}', configuration expects datatype {to_config(field.datatype)} for "
                f"{side} '{field.name}', model provides {to_config(tensor.datatype)}"
            )
        dims = field.dims if field.reshape is None else field.reshape
        _check_dims(config, tensor, dims, wild_config=side == "output")


def _expect_known(side: Side, name: str, known: Collection[str]) -> None:
    if name not in known:
        allowed = ", ".join(sorted(known))
        raise InvalidArgument(f"unexpected inference {side} '{name}', allowed {side}s are: {allowed}")


def _check_dims(config: ModelConfig, tensor: TensorSignature, dims: tuple[int, ...], wild_config: bool) -> None:
    """A -1 of the model takes everything. A -1 of the configuration is fine for outputs only: as an input it would
    promise clients what the model refuses."""
    prefix = f"model '{config.name}', tensor '{tensor.name}': "
    if config.max_batch_size > 0:
        if tensor.shape[:1] != (-1,):
            raise InvalidArgument(
                f"{prefix}for the model to support batching the shape should have at least 1 dimension and the first "
                f"dimension must be -1; but shape expected by the model is {shape_text(tensor.shape)}"
            )
        full = (-1, *dims)
        explained = (
            "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making "
            f"complete shape {shape_text(full)}"
        )
    else:
        full = dims
        explained = f"shape {shape_text(full)}"
    pairs = zip(tensor.shape, full, strict=False)
    if len(tensor.shape) == len(full) and all(m in (-1, c) or (wild_config and c == -1) for m, c in pairs):
        return
    raise InvalidArgument(
        f"{prefix}the model expects {len(tensor.shape)} dimensions (shape {shape_text(tensor.shape)}) but the model "
        f"configuration specifies {len(full)} dimensions ({explained})"
    )
