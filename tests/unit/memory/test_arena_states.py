"""Any order of allocating, writing, freeing, reading and tending keeps the promises of an arena."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

from segments import descriptors, names, segment_folder
from shoal.core.tensors import ArenaRef
from shoal.memory import Arena, ArenaFull, ArenaReader, Gone
from shoal.memory.inspection import inspect
from wall_clock import WallClock

LIMIT_NBYTES = 2 * 2**20

sizes = st.one_of(st.integers(1, 40_000), st.integers(40_000, 700_000), st.integers(700_000, 3_000_000))


class ArenaMachine(RuleBasedStateMachine):
    allocated = Bundle("allocated")
    freed = Bundle("freed")

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = self.stack.enter_context(segment_folder())
        self.clock = WallClock()
        self.arena = Arena.open("owner", LIMIT_NBYTES, self.folder, clock=self.clock)
        self.reader = ArenaReader(self.arena.host, self.folder)
        self.contents: dict[int, tuple[ArenaRef, bytes]] = {}
        self.last_generation = 0

    @rule(target=allocated, nbytes=sizes)
    def allocate(self, nbytes: int) -> int | MultipleResults[int]:
        try:
            block = self.arena.allocate(nbytes, "holder")
        except ArenaFull:
            held = sum(segment.nbytes for segment in inspect(self.folder) if segment.used_blocks)
            assert held + nbytes + 8192 > LIMIT_NBYTES
            return multiple()
        assert block.generation == self.last_generation + 1
        self.last_generation = block.generation
        content = block.generation.to_bytes(8, "little") * (nbytes // 8 + 1)
        block.memory[:] = content[:nbytes]
        self.contents[block.generation] = (block.ref(0, nbytes), content[:nbytes])
        return block.generation

    @rule(target=freed, generation=consumes(allocated))
    def free(self, generation: int) -> ArenaRef:
        assert self.arena.free(generation)
        return self.contents.pop(generation)[0]

    @rule(ref=freed)
    def a_freed_generation_is_refused(self, ref: ArenaRef) -> None:
        assert not self.arena.free(ref.generation)
        assert not self.reader.is_current(ref)
        with pytest.raises(Gone):
            self.reader.view(ref)

    @rule(seconds=st.floats(0, 12))
    def time_goes_on(self, seconds: float) -> None:
        self.clock.now += seconds
        self.arena.tend()
        self.reader.tend()

    @invariant()
    def contents_are_intact(self) -> None:
        for ref, content in self.contents.values():
            assert self.reader.copy(ref) == content

    @invariant()
    def blocks_do_not_overlap(self) -> None:
        spans = sorted((ref.segment, ref.offset, ref.offset + ref.nbytes) for ref, _ in self.contents.values())
        for (segment, _, end), (next_segment, start, _) in pairwise(spans):
            assert segment != next_segment or end <= start

    @invariant()
    def books_are_right(self) -> None:
        assert [block.generation for block in self.arena.held()] == list(self.contents)
        segments = list(inspect(self.folder))
        assert sum(segment.nbytes for segment in segments) <= LIMIT_NBYTES
        assert sum(segment.used_blocks for segment in segments) == len(self.contents)
        used = sum(segment.used_blocks * segment.header.block_nbytes for segment in segments)
        assert used == self.arena.used_nbytes

    def teardown(self) -> None:
        self.reader.close()
        self.arena.close()
        assert (names(self.folder), descriptors(self.folder)) == ([], [])
        self.stack.close()


TestArena = ArenaMachine.TestCase
TestArena.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
