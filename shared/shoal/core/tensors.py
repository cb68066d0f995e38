"""Tensors as they travel: a small header and a reference to where the bytes are.

Bytes are little endian, row major and unpadded, as the v2 protocol's binary tensor data (BYTES: see
`datatypes.encode_bytes`). Every reference starts with its kind, so that a receiver can tell them apart; kinds that a
process does not know are refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from shoal.core.errors import InternalError

INLINE = 0
ARENA = 1


class Inline(NamedTuple):
    """`nbytes` bytes at `offset` of the payload that follows the message's header."""

    kind: int
    offset: int
    nbytes: int


class ArenaRef(NamedTuple):
    """`nbytes` bytes at `offset` of the shared-memory segment `segment` of `host` (see `shoal.memory`).

    They are what was meant only while the block that they lie in has this `generation`: to be checked before the bytes
    are used and after. `offset` is a multiple of 64 bytes.
    """

    kind: int
    host: str
    segment: str
    offset: int
    nbytes: int
    generation: int


#: Where a tensor's bytes are. `region` and `cuda_ipc` join this union with client regions and device memory.
Reference = Inline | ArenaRef


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
    if fields[0] == ARENA:
        return ArenaRef(*fields)
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


def no_memory(ref: ArenaRef) -> memoryview:
    """For processes without shared memory: refuses."""
    raise InternalError(f"a tensor lies in shared memory of host '{ref.host}', which cannot be read here")


def resolve(
    header: TensorHeader, payload: memoryview, view_of: Callable[[ArenaRef], memoryview | bytes] = no_memory
) -> Tensor:
    """The tensor behind a header: a view of `payload`, without a copy, or what `view_of` gives (and raises)."""
    ref = header.ref
    if isinstance(ref, Inline):
        return Tensor(header.name, header.datatype, header.shape, payload[ref.offset : ref.offset + ref.nbytes])
    return Tensor(header.name, header.datatype, header.shape, view_of(ref))
