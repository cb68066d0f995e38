"""An executor as a peer of the test itself: it answers in its own shared memory and keeps that until it is released."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from shoal.bus import Bus, BusSettings, Part
from shoal.core.messages import NO_TIMINGS, V1, V2, HoldQuery, InferRequest, InferResponse, Release
from shoal.core.tensors import Tensor
from shoal.memory import Arena, pack


class ExecutorPeer:
    """Beats on this host. `released` are the generations that were released, in order."""

    def __init__(self, bus: Bus, arena: Arena) -> None:
        self._bus = bus
        self.arena = arena
        self.released: list[int] = []

    @classmethod
    @asynccontextmanager
    async def start(cls, settings: BusSettings, host: str | None = None) -> AsyncIterator[ExecutorPeer]:
        """`host`: another one that it says it is on."""
        bus = await Bus.connect(settings, role="executor")
        arena = Arena.open(bus.incarnation, 64 * 2**20)
        bus.host = arena.host if host is None else host
        executor = cls(bus, arena)
        bus.on(Release, executor._on_release)
        await bus.start()
        try:
            yield executor
        finally:
            arena.close()
            await bus.close()

    def answer(self, request: InferRequest, outputs: Mapping[str, bytes]) -> int | None:
        """Answer with UINT8 outputs; the generation of the block they lie in."""
        tensors = [Tensor(name, "UINT8", (len(data),), data) for name, data in outputs.items()]
        headers, buffers, block = pack(tensors, self.arena, request.submitter)
        response = InferResponse(V2, request.counter, 0, True, True, None, headers, {}, NO_TIMINGS, False)
        self._bus.send(request.submitter, response, buffers)
        return None if block is None else block.generation

    def ask(self, submitter: str, *generations: int) -> None:
        """Ask whether these blocks are still in use."""
        self._bus.send(submitter, HoldQuery(V1, generations))

    def _on_release(self, sender: str, release: Release, part: Part) -> None:
        self.released += release.generations
        for generation in release.generations:
            self.arena.free(generation)
