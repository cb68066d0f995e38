"""Tensors between the steps of an ensemble: where their bytes are, which are forwarded and never looked into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shoal.core.tensors import INLINE, ArenaRef, Inline, TensorHeader
from shoal.scheduler.claims import Claim

#: Bytes of a message up to this many are copied out of it, so that a small tensor does not keep a large message.
COPY_LIMIT_NBYTES = 64 * 1024

Buffer = memoryview | bytes


class SequencePlace(NamedTuple):
    """What a step's answer says about the sequence that it belongs to: correlation id and flags."""

    correlation_id: int | str
    flags: int


class EnsembleTensor(NamedTuple):
    """`shape` is the full one. `batch_size` is that of the request that it came with or was made by, 0 without
    batching. `data` lies in somebody's arena or here. `sequence` is None for an input of the ensemble. Who keeps the
    tensor uses its `claims`."""

    datatype: str
    shape: tuple[int, ...]
    batch_size: int
    data: ArenaRef | Buffer
    sequence: SequencePlace | None
    claims: tuple[Claim, ...]

    @property
    def nbytes(self) -> int:
        return self.data.nbytes if isinstance(self.data, ArenaRef | memoryview) else len(self.data)


class NamedTensor(NamedTuple):
    """A tensor as a request or a response names and shapes it."""

    name: str
    shape: tuple[int, ...]
    tensor: EnsembleTensor


def data_of(header: TensorHeader, payload: memoryview, *, is_kept: bool) -> ArenaRef | Buffer:
    """Where the bytes of a received tensor are. `is_kept`: its message stays here as long as it does."""
    ref = header.ref
    if isinstance(ref, ArenaRef):
        return ref
    data = payload[ref.offset : ref.offset + ref.nbytes]
    return data if is_kept or len(data) > COPY_LIMIT_NBYTES else bytes(data)


def pack(tensors: Iterable[NamedTensor]) -> tuple[tuple[TensorHeader, ...], list[Buffer]]:
    """Headers, and the buffers that they refer to in this order."""
    headers: list[TensorHeader] = []
    buffers: list[Buffer] = []
    offset = 0
    for name, shape, tensor in tensors:
        data = tensor.data
        if isinstance(data, ArenaRef):
            headers.append(TensorHeader(name, tensor.datatype, shape, data))
            continue
        headers.append(TensorHeader(name, tensor.datatype, shape, Inline(INLINE, offset, len(data))))
        buffers.append(data)
        offset += len(data)
    return tuple(headers), buffers


def shape_for(tensor: EnsembleTensor, dims: Sequence[int], is_batching: bool) -> tuple[int, ...]:
    """The tensor's shape as a model, or the ensemble's answer, takes it whose configured `dims` are without the batch
    dimension.

    Between those that batch and those that do not only the batch dimension is converted: a leading 1 is added where the
    shape is `dims` already, and that of a batch of one is taken away where it is not (scheduling.md 5).
    """
    shape = tensor.shape
    if is_batching == (tensor.batch_size != 0):
        return shape
    if is_batching:
        return (1, *shape) if _matches(shape, dims) else shape
    return shape[1:] if tensor.batch_size == 1 and not _matches(shape, dims) else shape


def _matches(shape: Sequence[int], dims: Sequence[int]) -> bool:
    return len(shape) == len(dims) and all(wanted in (-1, size) for size, wanted in zip(shape, dims, strict=True))
