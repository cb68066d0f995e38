"""Puts tensors where they travel best: large ones into one block of the arena, small ones into the message."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

from shoal.core.tensors import INLINE, Inline, Tensor, TensorHeader
from shoal.memory.arena import Arena, Block
from shoal.memory.layout import round_up

#: Tensors up to here travel in the message.
INLINE_LIMIT_NBYTES = 4096

#: TensorFlow aborts the process for tensors that are aligned to less.
_ALIGNMENT = 64


class Packed(NamedTuple):
    """Headers in the order of the tensors, the payload's buffers, and the block that holds the others (None: there are
    none). Whoever packed owns the block, and must free it also when the message is never sent."""

    headers: tuple[TensorHeader, ...]
    buffers: list[memoryview | bytes]
    block: Block | None


def pack(tensors: Sequence[Tensor], arena: Arena | None, holder: str, inline: Container[str] = ()) -> Packed:
    """Copy tensors over 4 KiB into one block that `holder` has to release; the others are the payload, uncopied.

    Without an arena all are the payload, and those named in `inline` always. Raises ArenaFull, and then nothing is
    allocated.
    """
    places, total = _places(tensors, inline) if arena is not None else ({}, 0)
    block = arena.allocate(total, holder) if arena is not None and places else None
    headers: list[TensorHeader] = []
    buffers: list[memoryview | bytes] = []
    payload_nbytes = 0
    for number, (name, datatype, shape, data) in enumerate(tensors):
        nbytes = len(data)
        if block is not None and number in places:
            offset = places[number]
            block.memory[offset : offset + nbytes] = data
            headers.append(TensorHeader(name, datatype, shape, block.ref(offset, nbytes)))
        else:
            buffers.append(data)
            headers.append(TensorHeader(name, datatype, shape, Inline(INLINE, payload_nbytes, nbytes)))
            payload_nbytes += nbytes
    return Packed(tuple(headers), buffers, block)


def lay_out(sizes: Iterable[int]) -> tuple[list[int], int]:
    """Where in a block tensors of these sizes begin, in bytes, each aligned as consumers need it; and the block's
    size."""
    starts: list[int] = []
    end = 0
    for nbytes in sizes:
        starts.append(round_up(end, _ALIGNMENT))
        end = starts[-1] + nbytes
    return starts, end


def _places(tensors: Sequence[Tensor], inline: Container[str]) -> tuple[dict[int, int], int]:
    """The offset in the block of each tensor (by number) that goes there, and the block's size."""
    large = {
        number: len(tensor.data)
        for number, tensor in enumerate(tensors)
        if len(tensor.data) > INLINE_LIMIT_NBYTES and tensor.name not in inline
    }
    starts, total = lay_out(large.values())
    return dict(zip(large, starts, strict=True)), total
