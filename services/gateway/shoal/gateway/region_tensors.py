"""Tensors of requests and answers in clients' regions: when they are read, and how they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from shoal.core.errors import InternalError
from shoal.core.tensors import Tensor
from shoal.gateway.region_part import RegionPart
from shoal.gateway.request import InferAnswer, InferCall
from shoal.gateway.scattered import Input, RegionTensor, contiguous
from shoal.memory import INLINE_LIMIT_NBYTES

#: From here on a copy is made in a thread, so that other requests go on: it costs as much as the thread does (60 us).
ASIDE_FROM_NBYTES = 1024 * 1024


def region_input(name: str, datatype: str, shape: tuple[int, ...], part: RegionPart) -> Input:
    """An input in a region; what travels in the message is read at once. Raises as `Region.read_into`."""
    if len(part) <= INLINE_LIMIT_NBYTES:
        return Tensor(name, datatype, shape, part.read())
    return RegionTensor(name, datatype, shape, part)


def unread_nbytes(inputs: Sequence[Input]) -> int:
    """How many bytes of these inputs are still to be read from regions."""
    return sum(len(tensor.data) for tensor in inputs if isinstance(tensor, RegionTensor))


def is_read_aside(call: InferCall) -> bool:
    """Whether the inputs of a call are read in a thread. Those of a sequence never are: its requests stay in order."""
    return call.region_nbytes >= ASIDE_FROM_NBYTES and not call.correlation_id


def read_texts(call: InferCall) -> InferCall:
    """The call with its BYTES inputs read: what is checked by content must not change any more. Blocks for the copy;
    raises as `Region.read_into`."""
    inputs = tuple([contiguous(tensor) if tensor.datatype == "BYTES" else tensor for tensor in call.inputs])
    return call._replace(inputs=inputs, region_nbytes=unread_nbytes(inputs))


async def write_outputs(answer: InferAnswer, parts: Mapping[str, RegionPart]) -> InferAnswer:
    """Write the outputs with these names to their parts of regions; the answer without their bytes.

    Raises InternalError in Triton's words when a part is too small, before anything is written, and as `Region.write`.
    """
    written = [tensor for tensor in answer.outputs if tensor.name in parts]
    for name, _, _, data in written:
        if len(data) > len(parts[name]):
            raise InternalError(
                f"shared memory size specified with the request for output '{name}' ({len(parts[name])} bytes) should "
                f"be at least {len(data)} bytes to hold the results"
            )
    if sum(len(tensor.data) for tensor in written) >= ASIDE_FROM_NBYTES:
        await asyncio.to_thread(_write, written, parts)
    else:
        _write(written, parts)
    outputs = tuple([tensor._replace(data=b"") if tensor.name in parts else tensor for tensor in answer.outputs])
    return answer._replace(outputs=outputs)


def _write(tensors: Sequence[Tensor], parts: Mapping[str, RegionPart]) -> None:
    for tensor in tensors:
        parts[tensor.name].write(tensor.data)
