"""Names, counts, datatypes and shapes of a request's inputs against the model's configuration, in Triton's words.

For whoever makes requests: gateways for their clients, the scheduler for the steps of ensembles. Triton keeps inputs in
a hash table that gives back the last one first; where several are wrong, the last one is named, so walk backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shoal.core.datatypes import BYTE_SIZE, shape_text
from shoal.core.errors import InvalidArgument
from shoal.core.model_config import ModelConfig, ModelInput

_BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)


class GivenInput(Protocol):
    """An input of a request, wherever its bytes are; `shape` is the full one."""

    @property
    def name(self) -> str: ...
    @property
    def datatype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


def request_prefix(request_id: str) -> str:
    """How Triton starts texts about one request."""
    return f"[request id: {request_id or '<id_unknown>'}] "


def refusal(request_id: str, text: str) -> InvalidArgument:
    return InvalidArgument(request_prefix(request_id) + text)


def check_count(request_id: str, inputs: Sequence[GivenInput], config: ModelConfig) -> None:
    """Raises InvalidArgument when there are too many inputs, or too few."""
    if len(inputs) == len(config.inputs):
        return
    required = sum(not tensor.optional for tensor in config.inputs)
    if not required <= len(inputs) <= len(config.inputs):
        raise _wrong_count(request_id, inputs, config, required)


def configured(name: str, config: ModelConfig) -> ModelInput:
    """The model's input of this name. Raises InvalidArgument when it has none."""
    expected = config.input(name)
    if expected is None:
        raise InvalidArgument(f"unexpected inference input '{name}' for model '{config.name}'")
    return expected


def batch_size_of(request_id: str, inputs: Sequence[GivenInput], config: ModelConfig) -> int:
    """The first dimension of all inputs, 0 for a model without batching. Raises InvalidArgument when they differ, or
    are more than the model takes."""
    if config.max_batch_size <= 0:
        return 0
    batch_size = 0
    for tensor in reversed(inputs):
        if configured(tensor.name, config).is_shape_tensor:
            continue
        if not tensor.shape:
            text = f"input '{tensor.name}' has no shape but model requires batch dimension for '{config.name}'"
            raise refusal(request_id, text)
        if batch_size == 0:
            batch_size = tensor.shape[0]
        elif tensor.shape[0] != batch_size:
            text = f"input '{tensor.name}' batch size does not match other inputs for '{config.name}'"
            raise refusal(request_id, text)
    if batch_size > config.max_batch_size:
        limit = config.max_batch_size
        raise refusal(request_id, f"inference request batch-size must be <= {limit} for '{config.name}'")
    return batch_size


def check_datatype_and_shape(request_id: str, tensor: GivenInput, expected: ModelInput, config: ModelConfig) -> None:
    """Raises InvalidArgument when an input is not what the configuration says."""
    name, datatype, shape = tensor.name, tensor.datatype, tensor.shape
    if datatype != expected.datatype:
        given = datatype if datatype in BYTE_SIZE else "<invalid>"
        raise refusal(
            request_id,
            f"inference input '{name}' data-type is '{given}', but model '{config.name}' expects '{expected.datatype}'",
        )
    is_batching = config.max_batch_size > 0 and not expected.is_shape_tensor
    dims = shape[1:] if is_batching else shape
    matches = len(dims) == len(expected.dims)
    if matches:
        for dim, wanted in zip(dims, expected.dims, strict=True):
            if dim == -1:
                raise refusal(
                    request_id,
                    f"All input dimensions should be specified for input '{name}' for model '{config.name}', "
                    f"got {shape_text(shape)}",
                )
            # Where any size goes, a negative one still does not.
            if dim != wanted and (wanted != -1 or dim < 0):
                matches = False
                break
    if not matches:
        full = shape_text((-1, *expected.dims) if config.max_batch_size > 0 else expected.dims)
        note = _BATCH_NOTE if config.max_batch_size > 0 else ""
        raise refusal(
            request_id,
            f"unexpected shape for input '{name}' for model '{config.name}'. Expected {full}, "
            f"got {shape_text(shape)}. {note}",
        )


def _wrong_count(request_id: str, inputs: Sequence[GivenInput], config: ModelConfig, required: int) -> InvalidArgument:
    given = [tensor.name for tensor in reversed(inputs)]
    missing = [tensor.name for tensor in config.inputs if not tensor.optional and tensor.name not in given]
    total = len(config.inputs)
    expectation = (
        f"expected {total} inputs" if required == total else f"expected number of inputs between {required} and {total}"
    )
    # With nothing missing Triton's list loses its opening bracket.
    missing_text = _names(missing) if missing else "]"
    return refusal(
        request_id,
        f"{expectation} but got {len(given)} inputs for model '{config.name}'. Got input(s) {_names(given)}, "
        f"but missing required input(s) {missing_text}. Please provide all required input(s).",
    )


def _names(names: Sequence[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"
