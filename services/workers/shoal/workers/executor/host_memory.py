"""An executor's part in the shared memory of its host: inputs are read where others put them, outputs are put there."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.core.errors import ShoalError, Unavailable
from shoal.core.messages import InferRequest
from shoal.core.tensors import ArenaRef, Tensor, pack_inline
from shoal.memory import INLINE_LIMIT_NBYTES, Arena, ArenaFull, ArenaReader, Packed, host_id, open_arena, pack

#: Outputs that the arena has no room for travel in the message when they are not more than this together.
FALLBACK_NBYTES = 1024 * 1024


class HostMemory:
    """Our arena, if there is one, and a reader of others'. `view`, `gone`, `place` and `free` may be called from any
    thread, the others by the loop's thread."""

    def __init__(self, host: str, arena: Arena | None, reader: ArenaReader) -> None:
        self._host = host
        self._arena = arena
        self._reader = reader

    @classmethod
    def open(cls, owner: str, environ: Mapping[str, str]) -> HostMemory:
        """The memory of this host for the process `owner`, within the limit that the environment names."""
        host = host_id()
        return cls(host, open_arena(owner, environ), ArenaReader(host))

    @property
    def host(self) -> str:
        """Whose shared memory we can map; empty for none."""
        return self._host

    def view(self, ref: ArenaRef) -> memoryview:
        """The bytes behind a reference, read-only, without a copy. Raises Gone, whose text says why."""
        return self._reader.view(ref)

    def gone(self, header: InferRequest) -> ShoalError | None:
        """The refusal of a request one of whose inputs was taken back after it was viewed: what was read of it since
        may be another request's bytes. None when all were what they are to be until now."""
        for tensor in header.inputs:
            if isinstance(tensor.ref, ArenaRef) and not self._reader.is_current(tensor.ref):
                return Unavailable(
                    f"model '{header.model}', input '{tensor.name}': its {tensor.ref.nbytes} bytes of shared memory "
                    "were taken back while the model was executing; what it made of them was dropped"
                )
        return None

    def place(self, outputs: tuple[Tensor, ...] | list[Tensor], header: InferRequest, is_borrowed: bool) -> Packed:
        """Outputs where the submitter of `header` finds them: the large ones in one block of our arena, held by the
        submitter, if it is on this host. Nothing of the result changes when the outputs do, or (`is_borrowed`) the
        memory of the inputs, which outputs may be views of.

        Raises Unavailable naming the model when the arena is full: only released blocks can be used again. Blocks for
        the copy.
        """
        headers, buffers, block = self._pack(outputs, header)
        return Packed(headers, [b if type(b) is bytes else _lasting(b, is_borrowed) for b in buffers], block)

    def _pack(self, outputs: tuple[Tensor, ...] | list[Tensor], header: InferRequest) -> Packed:
        total_nbytes = sum([len(tensor.data) for tensor in outputs])
        if total_nbytes <= INLINE_LIMIT_NBYTES or self._arena is None or header.host != self._host:
            return Packed(*pack_inline(outputs), None)
        try:
            return pack(outputs, self._arena, header.submitter)
        except ArenaFull as full:
            if total_nbytes > FALLBACK_NBYTES:
                raise Unavailable(f"model '{header.model}', {total_nbytes} bytes of outputs: {full.message}") from full
            return Packed(*pack_inline(outputs), None)

    def free(self, generation: int) -> None:
        """Give a block of outputs back; fine when it was before."""
        if self._arena is not None:
            self._arena.free(generation)

    def tend(self) -> None:
        """To be called about once a second: keeps our arena marked as alive, drops mappings that are of no use."""
        if self._arena is not None:
            self._arena.tend()
        self._reader.tend()

    def close(self) -> None:
        """Remove our arena and all mappings. Idempotent."""
        if self._arena is not None:
            self._arena.close()
        self._reader.close()


def _lasting(data: memoryview | bytes, is_borrowed: bool) -> memoryview | bytes:
    """Backends mark what they will not write to again by giving it away read-only."""
    is_lasting = isinstance(data, bytes) or (data.readonly and not is_borrowed)
    return data if is_lasting else bytes(data)
