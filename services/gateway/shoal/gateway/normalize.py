"""An inference call checked against the model's configuration, in Triton's order and words, before anything is sent.

Pure, but that texts in clients' regions are read to be checked. Triton keeps inputs in a hash table that gives back the
last one first; where several inputs are wrong, the last one is named, so the checks walk backwards.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from shoal.core.datatypes import BYTE_SIZE, element_count, shape_text
from shoal.core.errors import InvalidArgument
from shoal.core.input_checks import batch_size_of, check_count, check_datatype_and_shape, configured, refusal
from shoal.core.model_config import ModelConfig
from shoal.core.tensors import Tensor
from shoal.gateway.correlation import check_correlation_id
from shoal.gateway.models import ServedVersion
from shoal.gateway.region_tensors import read_texts
from shoal.gateway.request import InferCall
from shoal.gateway.scattered import Input, contiguous
from shoal.memory import Packed

_LENGTH_NBYTES = 4
#: Array libraries multiply the dimensions of an empty array too, and refuse what they cannot address.
_ADDRESSABLE_NBYTES = 2**63 - 1


class Checked(NamedTuple):
    """A call that fits its model. `outputs` empty means every output; `batch_size` is 0 without batching.

    `fault` is an error that Triton reports only from the execution (text that is cut off inside an element): the call
    is to be refused with it when it is executed. `packed` are its inputs as they travel, where they were packed ahead;
    a block in there is to be freed also when the call is never sent.
    """

    call: InferCall
    served: ServedVersion
    batch_size: int
    priority: int
    outputs: tuple[str, ...]
    fault: InvalidArgument | None
    packed: Packed | None = None


def check(call: InferCall, served: ServedVersion) -> Checked:
    """Check names, counts, shapes, datatypes and sizes. Raises InvalidArgument for the first rule that is broken."""
    config = served.config
    if call.region_nbytes:
        call = read_texts(call)
    if len(call.inputs) > 1:
        _check_distinct(call)
    for name in call.outputs:
        if config.output(name) is None:
            raise InvalidArgument(f"unexpected inference output '{name}' for model '{config.name}'")
    check_count(call.request_id, call.inputs, config)
    batch_size = batch_size_of(call.request_id, call.inputs, config)
    fault: InvalidArgument | None = None
    for tensor in reversed(call.inputs):
        check_datatype_and_shape(call.request_id, tensor, configured(tensor.name, config), config)
        if tensor.datatype == "BYTES":
            fault = _check_elements(call, contiguous(tensor), config) or fault
        else:
            _check_nbytes(call, tensor, config)
    check_correlation_id(call.correlation_id, config)
    outputs = tuple(dict.fromkeys(call.outputs)) if call.outputs else ()
    return Checked(call, served, batch_size, _priority(call.priority, config), outputs, fault)


def _check_distinct(call: InferCall) -> None:
    if len({tensor.name for tensor in call.inputs}) == len(call.inputs):
        return
    seen: set[str] = set()
    for tensor in call.inputs:
        if tensor.name in seen:
            raise refusal(call.request_id, f"input '{tensor.name}' already exists in request")
        seen.add(tensor.name)


def _check_nbytes(call: InferCall, tensor: Input, config: ModelConfig) -> None:
    expected = element_count(tensor.shape) * BYTE_SIZE[tensor.datatype]
    if len(tensor.data) != expected:
        raise refusal(
            call.request_id,
            f"input byte size mismatch for input '{tensor.name}' for model '{config.name}'. "
            f"Expected {expected}, got {len(tensor.data)}",
        )
    if not expected and prod(dim for dim in tensor.shape if dim) * BYTE_SIZE[tensor.datatype] > _ADDRESSABLE_NBYTES:
        raise refusal(
            call.request_id,
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
            raise refusal(
                call.request_id,
                f"incomplete string length indicator {where}, expecting {_LENGTH_NBYTES} bytes but only {left} bytes "
                "available. Please make sure the string length indicator is in one buffer.",
            )
        length = int.from_bytes(data[offset : offset + _LENGTH_NBYTES], "little")
        offset += _LENGTH_NBYTES + length
        count += 1
        if count > expected:
            text = f"unexpected number of string elements {count} {where}, expecting {expected}"
            raise refusal(call.request_id, text)
        if offset > len(data):
            fault = InvalidArgument(
                f"incomplete string data for inference input '{tensor.name}', expecting string of length {length} "
                f"but only {left - _LENGTH_NBYTES} bytes available"
            )
    if count != expected:
        raise refusal(call.request_id, f"expected {expected} string elements {where}, got {count}")
    return fault


def _priority(priority: int, config: ModelConfig) -> int:
    batching = config.dynamic_batching
    if batching is None:
        # An ensemble's steps may have levels; each of them makes of it what it can.
        return priority if config.is_ensemble else 0
    if priority == 0 or priority > batching.priority_levels:
        return batching.default_priority_level
    return priority
