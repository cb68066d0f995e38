"""An inference call checked against the model's configuration, in Triton's order and words, before anything is sent.

Pure. Triton keeps inputs in a hash table that gives back the last one first; where several inputs are wrong, the last
one is named, so the checks walk backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from shoal.core.datatypes import BYTE_SIZE, element_count, shape_text
from shoal.core.errors import InvalidArgument
from shoal.core.model_config import DynamicBatching, ModelConfig, ModelInput
from shoal.core.tensors import Tensor
from shoal.gateway.correlation import check_correlation_id
from shoal.gateway.models import ServedVersion
from shoal.gateway.request import InferCall
from shoal.gateway.scattered import Input, contiguous

_BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try setting "
    "max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)
_LENGTH_NBYTES = 4
#: Array libraries multiply the dimensions of an empty array too, and refuse what they cannot address.
_ADDRESSABLE_NBYTES = 2**63 - 1


class Checked(NamedTuple):
    """A call that fits its model. `outputs` empty means every output; `batch_size` is 0 without batching.

    `fault` is an error that Triton reports only from the execution (text that is cut off inside an element): the call
    is to be refused with it when it is executed.
    """

    call: InferCall
    served: ServedVersion
    batch_size: int
    priority: int
    outputs: tuple[str, ...]
    fault: InvalidArgument | None


def request_prefix(request_id: str) -> str:
    """How Triton starts texts about one request."""
    return f"[request id: {request_id or '<id_unknown>'}] "


def check(call: InferCall, served: ServedVersion) -> Checked:
    """Check names, counts, shapes, datatypes and sizes. Raises InvalidArgument for the first rule that is broken."""
    config = served.config
    if len(call.inputs) > 1:
        _check_distinct(call)
    for name in call.outputs:
        if config.output(name) is None:
            raise InvalidArgument(f"unexpected inference output '{name}' for model '{config.name}'")
    if len(call.inputs) != len(config.inputs):
        required = sum(not tensor.optional for tensor in config.inputs)
        if not required <= len(call.inputs) <= len(config.inputs):
            raise _wrong_count(call, config, required)
    batch_size = _batch_size(call, config) if config.max_batch_size > 0 else 0
    fault: InvalidArgument | None = None
    for tensor in reversed(call.inputs):
        expected = _configured(tensor, config)
        _check_datatype_and_shape(call, tensor, expected, config)
        if tensor.datatype == "BYTES":
            fault = _check_elements(call, contiguous(tensor), config) or fault
        else:
            _check_nbytes(call, tensor, config)
    check_correlation_id(call.correlation_id, config)
    outputs = tuple(dict.fromkeys(call.outputs)) if call.outputs else ()
    return Checked(call, served, batch_size, _priority(call.priority, config.dynamic_batching), outputs, fault)


def _refusal(call: InferCall, text: str) -> InvalidArgument:
    return InvalidArgument(request_prefix(call.request_id) + text)


def _check_distinct(call: InferCall) -> None:
    if len({tensor.name for tensor in call.inputs}) == len(call.inputs):
        return
    seen: set[str] = set()
    for tensor in call.inputs:
        if tensor.name in seen:
            raise _refusal(call, f"input '{tensor.name}' already exists in request")
        seen.add(tensor.name)


def _wrong_count(call: InferCall, config: ModelConfig, required: int) -> InvalidArgument:
    given = [tensor.name for tensor in reversed(call.inputs)]
    missing = [tensor.name for tensor in config.inputs if not tensor.optional and tensor.name not in given]
    total = len(config.inputs)
    expectation = (
        f"expected {total} inputs" if required == total else f"expected number of inputs between {required} and {total}"
    )
    # With nothing missing Triton's list loses its opening bracket.
    missing_text = _names(missing) if missing else "]"
    return _refusal(
        call,
        f"{expectation} but got {len(given)} inputs for model '{config.name}'. Got input(s) {_names(given)}, "
        f"but missing required input(s) {missing_text}. Please provide all required input(s).",
    )


def _names(names: Sequence[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"


def _configured(tensor: Input, config: ModelConfig) -> ModelInput:
    expected = config.input(tensor.name)
    if expected is None:
        raise InvalidArgument(f"unexpected inference input '{tensor.name}' for model '{config.name}'")
    return expected


def _batch_size(call: InferCall, config: ModelConfig) -> int:
    batch_size = 0
    for tensor in reversed(call.inputs):
        if _configured(tensor, config).is_shape_tensor:
            continue
        if not tensor.shape:
            text = f"input '{tensor.name}' has no shape but model requires batch dimension for '{config.name}'"
            raise _refusal(call, text)
        if batch_size == 0:
            batch_size = tensor.shape[0]
        elif tensor.shape[0] != batch_size:
            raise _refusal(call, f"input '{tensor.name}' batch size does not match other inputs for '{config.name}'")
    if batch_size > config.max_batch_size:
        limit = config.max_batch_size
        raise _refusal(call, f"inference request batch-size must be <= {limit} for '{config.name}'")
    return batch_size


def _check_datatype_and_shape(call: InferCall, tensor: Input, expected: ModelInput, config: ModelConfig) -> None:
    name, datatype, shape, _ = tensor
    if datatype != expected.datatype:
        given = datatype if datatype in BYTE_SIZE else "<invalid>"
        raise _refusal(
            call,
            f"inference input '{name}' data-type is '{given}', but model '{config.name}' expects '{expected.datatype}'",
        )
    is_batching = config.max_batch_size > 0 and not expected.is_shape_tensor
    dims = shape[1:] if is_batching else shape
    matches = len(dims) == len(expected.dims)
    if matches:
        for dim, wanted in zip(dims, expected.dims, strict=True):
            if dim == -1:
                raise _refusal(
                    call,
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
        raise _refusal(
            call,
            f"unexpected shape for input '{name}' for model '{config.name}'. Expected {full}, "
            f"got {shape_text(shape)}. {note}",
        )


def _check_nbytes(call: InferCall, tensor: Input, config: ModelConfig) -> None:
    expected = element_count(tensor.shape) * BYTE_SIZE[tensor.datatype]
    if len(tensor.data) != expected:
        raise _refusal(
            call,
            f"input byte size mismatch for input '{tensor.name}' for model '{config.name}'. "
            f"Expected {expected}, got {len(tensor.data)}",
        )
    if not expected and prod(dim for dim in tensor.shape if dim) * BYTE_SIZE[tensor.datatype] > _ADDRESSABLE_NBYTES:
        raise _refusal(
            call,
            f"input '{tensor.name}' for model '{config.name}' is empty, but its shape {shape_text(tensor.shape)} is "
            "larger than any memory in its other dimensions",
        )


def _check_elements(call: InferCall, tensor: Tensor, config: ModelConfig) -> InvalidArgument | None:
    """Count the elements of a BYTES tensor; returns the fault of a last element that is cut off."""
    expected = element_count(tensor.shape)
    where = f"for inference input '{tensor.name}' for model '{config.name}'"
    data, offset, count = memoryview(tensor.data), 0, 0
    fault: InvalidArgument | None = None
    while offset < len(data):
        left = len(data) - offset
        if left < _LENGTH_NBYTES:
            raise _refusal(
                call,
                f"incomplete string length indicator {where}, expecting {_LENGTH_NBYTES} bytes but only {left} bytes "
                "available. Please make sure the string length indicator is in one buffer.",
            )
        length = int.from_bytes(data[offset : offset + _LENGTH_NBYTES], "little")
        offset += _LENGTH_NBYTES + length
        count += 1
        if count > expected:
            raise _refusal(call, f"unexpected number of string elements {count} {where}, expecting {expected}")
        if offset > len(data):
            fault = InvalidArgument(
                f"incomplete string data for inference input '{tensor.name}', expecting string of length {length} "
                f"but only {left - _LENGTH_NBYTES} bytes available"
            )
    if count != expected:
        raise _refusal(call, f"expected {expected} string elements {where}, got {count}")
    return fault


def _priority(priority: int, batching: DynamicBatching | None) -> int:
    if batching is None:
        return 0
    if priority == 0 or priority > batching.priority_levels:
        return batching.default_priority_level
    return priority
