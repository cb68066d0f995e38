"""Where tensors of one gateway process lie: its arena for the inputs, and its view of the executors' arenas.

Inputs over 4 KiB are copied into one block per request, from the pieces in which they came: one copy. While an
executor on another host is known, which could not map it, everything travels in the message. Outputs are copied into
bytes of our own: HTTP and gRPC servers may keep what they are given for as long as a client is slow to take it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from shoal.core.errors import InvalidArgument, ShoalError
from shoal.core.tensors import INLINE, ArenaRef, Inline, Tensor, TensorHeader, no_memory, pack_inline
from shoal.gateway.errors import Overloaded
from shoal.gateway.normalize import Checked
from shoal.gateway.region_part import RegionPart
from shoal.gateway.scattered import Input, Pieces, RegionTensor, ScatteredTensor, contiguous, views_of
from shoal.memory import INLINE_LIMIT_NBYTES, Arena, ArenaFull, ArenaReader, Block, Packed, lay_out

#: Who says when the inputs may go: whichever scheduler owns the models.
_HOLDER = "scheduler"


class DataPlane:
    """Belongs to the process: `close` ends it. Use from the event loop's thread only.

    Without an arena (`host` is empty then) every tensor travels in messages, and executors answer likewise.
    """

    def __init__(self, arena: Arena | None) -> None:
        self._arena = arena
        self._reader = None if arena is None else ArenaReader(arena.host)
        #: The bytes behind a reference, our own. Raises Gone when they are not there any more.
        self.copy: Callable[[ArenaRef], memoryview | bytes] = no_memory if self._reader is None else self._reader.copy
        #: Our host's id, for executors that may answer by reference.
        self.host = "" if arena is None else arena.host
        self._elsewhere: set[str] = set()

    def pack(self, checked: Checked) -> tuple[Checked, Packed]:
        """The inputs as they travel, and the same call with its inputs where they lie now: what it came with need not
        be kept when there is a block. Blocks for the copy; may be called from any thread.

        Raises Overloaded when the arena has no room now, InvalidArgument when it never has for so much, or when a
        client's region has shrunk.
        """
        if checked.packed is not None:
            return checked, checked.packed
        inputs = checked.call.inputs
        arena = None if self._elsewhere else self._arena
        for tensor in inputs:
            if len(tensor.data) > INLINE_LIMIT_NBYTES or not isinstance(tensor, Tensor):
                return _pack(checked, arena)
        headers, buffers = pack_inline(cast("tuple[Tensor, ...]", inputs))
        return checked, Packed(headers, buffers, None)

    async def pack_aside(self, checked: Checked) -> Checked:
        """The call packed in a thread, for inputs whose copy would keep other requests waiting. The block in its
        `packed` is the caller's then. Raises as `pack`; cancelling it frees the block when it is written."""
        packing = asyncio.ensure_future(asyncio.to_thread(self.pack, checked))
        try:
            lying, packed = await asyncio.shield(packing)
        except asyncio.CancelledError:
            packing.add_done_callback(self._free_unwanted)
            raise
        return lying._replace(packed=packed)

    def _free_unwanted(self, packing: asyncio.Future[tuple[Checked, Packed]]) -> None:
        if not packing.cancelled() and packing.exception() is None:
            _, packed = packing.result()
            if packed.block is not None:
                self.free(packed.block.generation)

    def free(self, generation: int) -> None:
        """Free a block of inputs."""
        if self._arena is not None:
            self._arena.free(generation)

    def executor_is_on(self, executor: str, host: str | None) -> None:
        """An executor beats on this host (None: it has left)."""
        if host is None or host == self.host:
            self._elsewhere.discard(executor)
        else:
            self._elsewhere.add(executor)

    def tend(self) -> None:
        """To be called about once a second."""
        if self._arena is not None and self._reader is not None:
            self._arena.tend()
            self._reader.tend()

    def close(self) -> None:
        """Take everything of ours out of shared memory. Idempotent."""
        if self._arena is not None and self._reader is not None:
            self._reader.close()
            self._arena.close()


def _pack(checked: Checked, arena: Arena | None) -> tuple[Checked, Packed]:
    inputs = checked.call.inputs
    large = [tensor for tensor in inputs if len(tensor.data) > INLINE_LIMIT_NBYTES]
    large = [tensor for tensor in large if not _is_shape_tensor(tensor, checked)]
    if arena is None or not large:
        # What lies in a region is read once: sent again, it is the same.
        at_hand = tuple([contiguous(tensor) if isinstance(tensor, RegionTensor) else tensor for tensor in inputs])
        return checked._replace(call=checked.call._replace(inputs=at_hand)), _pack_inline(at_hand)
    starts, nbytes = lay_out([len(tensor.data) for tensor in large])
    places = {tensor.name: start for tensor, start in zip(large, starts, strict=True)}
    block = _allocate(arena, nbytes, checked)
    try:
        for tensor in large:
            _copy(tensor, block, places[tensor.name])
        lying = tuple([_lying(tensor, block, places) for tensor in inputs])
    except ShoalError:
        arena.free(block.generation)
        raise
    return checked._replace(call=checked.call._replace(inputs=lying)), _refer(lying, block, places)


def _is_shape_tensor(tensor: Input, checked: Checked) -> bool:
    """Whether the scheduler reads the content, for which it has to be in the message."""
    configured = checked.served.config.input(tensor.name)
    return configured is not None and configured.is_shape_tensor


def _allocate(arena: Arena, nbytes: int, checked: Checked) -> Block:
    try:
        return arena.allocate(nbytes, _HOLDER)
    except ArenaFull as full:
        model = checked.call.model
        if arena.could_hold(nbytes):
            raise Overloaded(f"request for model '{model}' was not accepted: {full.message}") from full
        sizes = ", ".join(f"'{tensor.name}' {len(tensor.data)}" for tensor in checked.call.inputs)
        raise InvalidArgument(
            f"request for model '{model}' has {nbytes} bytes of large inputs ({sizes}), and the gateway's shared "
            f"memory takes {arena.capacity_nbytes} bytes at most; raise --shm-limit and the size of /dev/shm "
            "(shm_size of the gateway's container), or send less at once"
        ) from full


def _copy(tensor: Input, block: Block, start: int) -> None:
    if isinstance(tensor, RegionTensor):
        tensor.data.read_into(block.memory[start : start + len(tensor.data)])
        return
    for view in views_of(tensor.data):
        end = start + len(view)
        block.memory[start:end] = view
        start = end


def _lying(tensor: Input, block: Block, places: Mapping[str, int]) -> Tensor:
    """The tensor where it is now: in the block, or, as it is small or read on the way, in bytes of its own."""
    name, datatype, shape, data = tensor
    start = places.get(name)
    if start is not None:
        return Tensor(name, datatype, shape, block.memory[start : start + len(data)])
    own = data.read() if isinstance(data, RegionPart) else b"".join(views_of(data))
    return Tensor(name, datatype, shape, own)


def _refer(tensors: tuple[Tensor, ...], block: Block, places: Mapping[str, int]) -> Packed:
    headers: list[TensorHeader] = []
    buffers: list[memoryview | bytes] = []
    offset = 0
    for name, datatype, shape, data in tensors:
        nbytes = len(data)
        start = places.get(name)
        if start is not None:
            headers.append(TensorHeader(name, datatype, shape, block.ref(start, nbytes)))
            continue
        headers.append(TensorHeader(name, datatype, shape, Inline(INLINE, offset, nbytes)))
        buffers.append(data)
        offset += nbytes
    return Packed(tuple(headers), buffers, block)


def _pack_inline(inputs: tuple[Tensor | ScatteredTensor, ...]) -> Packed:
    headers: list[TensorHeader] = []
    buffers: list[memoryview | bytes] = []
    offset = 0
    for name, datatype, shape, data in inputs:
        nbytes = len(data)
        headers.append(TensorHeader(name, datatype, shape, Inline(INLINE, offset, nbytes)))
        if isinstance(data, Pieces):
            buffers += data.views
        else:
            buffers.append(data)
        offset += nbytes
    return Packed(tuple(headers), buffers, None)
