"""Tensors as they travel: a small header and a reference to where the bytes are.

Bytes are little endian, row major and unpadded, as the v2 protocol's binary tensor data (BYTES: see
`datatypes.encode_bytes`). Every reference starts with its kind, so that a receiver can tell them apart; kinds that a
process does not know are refused, never guessed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shoal.core.errors import InternalError

INLINE = 0


class Inline(NamedTuple):
    """`nbytes` bytes at `offset` of the payload that follows the message's header."""

    kind: int
    offset: int
    nbytes: int


#: Where a tensor's bytes are. `arena`, `region` and `cuda_ipc` join this union with the shared-memory data plane.
Reference = Inline


class TensorHeader(NamedTuple):
    """One tensor of a request or response.

    `shape` is the full shape, batch dimension first where the model batches; `datatype` is the protocol's name.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    ref: Reference


class Tensor(NamedTuple):
    """A tensor with its bytes at hand. The view is valid as long as the message it came with is referenced."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: memoryview | bytes


def reference_from_wire(fields: tuple[Any, ...]) -> Reference:
    if fields[0] == INLINE:
        return Inline(*fields)
    raise InternalError(f"tensor reference of unknown kind {fields[0]}; are all processes of one release?")


def header_from_wire(fields: tuple[Any, ...]) -> TensorHeader:
    name, datatype, shape, ref = fields
    return TensorHeader(name, datatype, shape, reference_from_wire(ref))


def pack_inline(
    tensors: list[Tensor] | tuple[Tensor, ...],
) -> tuple[tuple[TensorHeader, ...], list[memoryview | bytes]]:
    """Headers with inline references, and the buffers in the same order, to be sent as the payload. Copies nothing."""
    headers: list[TensorHeader] = []
    buffers: list[memoryview | bytes] = []
    offset = 0
    for name, datatype, shape, data in tensors:
        nbytes = len(data)
        headers.append(TensorHeader(name, datatype, shape, Inline(INLINE, offset, nbytes)))
        buffers.append(data)
        offset += nbytes
    return tuple(headers), buffers


def resolve(header: TensorHeader, payload: memoryview) -> Tensor:
    """The tensor behind a header; its data is a view of `payload`, without a copy."""
    _, offset, nbytes = header.ref
    return Tensor(header.name, header.datatype, header.shape, payload[offset : offset + nbytes])
