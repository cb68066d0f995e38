from __future__ import annotations

from pathlib import Path

import pytest

from segments import descriptors, mappings, names
from shoal.memory import Arena, ArenaReader, Block, Gone
from shoal.memory.reader import MAX_SEGMENTS
from wall_clock import WallClock

KIB = 1024
MIB = 1024 * KIB


def filled(arena: Arena, content: bytes) -> Block:
    block = arena.allocate(len(content), "scheduler")
    block.memory[:] = content
    return block


def test_a_view_is_read_only_and_shows_the_memory_itself(arena: Arena, reader: ArenaReader) -> None:
    block = filled(arena, b"a" * 8192)
    view = reader.view(block.ref(0, 8192))
    assert view.readonly
    block.memory[0] = ord("b")
    assert view[0] == ord("b")


def test_a_copy_is_ones_own(arena: Arena, reader: ArenaReader) -> None:
    block = filled(arena, b"a" * 8192)
    copied = reader.copy(block.ref(0, 8192))
    block.memory[0] = ord("b")
    assert copied == b"a" * 8192


def test_a_freed_block_is_gone(arena: Arena, reader: ArenaReader) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    assert reader.is_current(ref)
    arena.free(ref.generation)
    assert not reader.is_current(ref)
    expected = r"block 1 of 'owner-1' in segment 'shoal-owner-1-1' was freed: its owner knew of nobody"
    for read in (reader.view, reader.copy):
        with pytest.raises(Gone, match=expected):
            read(ref)


def test_a_block_that_was_given_to_others_is_gone(arena: Arena, reader: ArenaReader) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    arena.free(ref.generation)
    other = filled(arena, b"b" * 8192).ref(0, 8192)
    assert other.offset == ref.offset
    with pytest.raises(Gone, match="was freed, and its memory given to others"):
        reader.view(ref)
    assert reader.copy(other) == b"b" * 8192


def test_free_memory_has_no_generation_that_could_be_asked_for(arena: Arena, reader: ArenaReader) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    arena.free(ref.generation)
    assert not reader.is_current(ref._replace(generation=0))


def test_a_reference_outside_of_its_block_is_refused(arena: Arena, reader: ArenaReader) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    filled(arena, b"b" * 8192)
    for offset, nbytes in ((ref.offset, 8193), (0, 64), (-64, 64), (ref.offset + 2**30, 64), (ref.offset, -1)):
        with pytest.raises(Gone, match="are in none of its blocks"):
            reader.view(ref._replace(offset=offset, nbytes=nbytes))


def test_memory_of_another_host_is_refused(arena: Arena, reader: ArenaReader, folder: Path) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    with pytest.raises(Gone, match="of host '0123456789abcdef', this is host"):
        reader.view(ref._replace(host="0123456789abcdef"))
    with pytest.raises(Gone, match="this is a host without shared memory"):
        ArenaReader("", folder).view(ref._replace(host=""))


def test_a_segment_that_is_not_there_is_gone(arena: Arena, reader: ArenaReader) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    with pytest.raises(Gone, match="its owner has ended or given it back"):
        reader.view(ref._replace(segment="shoal-other-1"))


def test_a_name_that_leads_elsewhere_is_refused(arena: Arena, reader: ArenaReader) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    for name in ("../etc/passwd", "shoal-a/../b-1", "", "host"):
        with pytest.raises(Gone, match="is not the name of a segment"):
            reader.view(ref._replace(segment=name))


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"x" * 100_000])
def test_a_file_that_is_no_segment_is_refused(arena: Arena, reader: ArenaReader, folder: Path, content: bytes) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    (folder / "shoal-other-1").write_bytes(content)
    with pytest.raises(Gone, match="is no segment of this release"):
        reader.view(ref._replace(segment="shoal-other-1"))


def test_a_segment_cut_short_is_refused(arena: Arena, reader: ArenaReader, folder: Path) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    (folder / "shoal-other-1").write_bytes((folder / ref.segment).read_bytes()[:-1])
    with pytest.raises(Gone, match="is no segment of this release"):
        reader.view(ref._replace(segment="shoal-other-1"))


def test_a_segment_of_somebody_else_is_gone_and_not_an_accident(
    arena: Arena, reader: ArenaReader, folder: Path
) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    (folder / "shoal-other-1").symlink_to(folder / ref.segment)
    with pytest.raises(Gone, match="cannot be read"):
        reader.view(ref._replace(segment="shoal-other-1"))


def test_tending_lets_go_of_what_was_given_back(
    arena: Arena, reader: ArenaReader, folder: Path, clock: WallClock
) -> None:
    block = filled(arena, b"a" * 8192)
    reader.copy(block.ref(0, 8192))
    arena.free(block.generation)
    del block
    clock.now += 11
    arena.tend()
    assert len(mappings(folder)) == 1
    reader.tend()
    assert (mappings(folder), descriptors(folder)) == ([], [])


def test_tending_lets_go_of_what_vanished(arena: Arena, reader: ArenaReader, folder: Path) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    reader.view(ref)
    (folder / ref.segment).unlink()
    reader.tend()
    with pytest.raises(Gone, match="not there any more"):
        reader.view(ref)


def test_tending_keeps_what_is_in_use(arena: Arena, reader: ArenaReader, folder: Path) -> None:
    ref = filled(arena, b"a" * 8192).ref(0, 8192)
    reader.view(ref)
    before = mappings(folder)
    reader.tend()
    assert mappings(folder) == before


def test_a_view_outlives_the_segment_the_arena_and_the_reader(folder: Path) -> None:
    arena = Arena.open("owner-2", MIB, folder)
    reader = ArenaReader(arena.host, folder)
    view = reader.view(filled(arena, b"a" * 8192).ref(0, 8192))
    arena.close()
    reader.tend()
    reader.close()
    assert view == b"a" * 8192
    del view
    assert (mappings(folder), descriptors(folder)) == ([], [])


def test_segments_unused_for_longest_are_let_go(folder: Path) -> None:
    arena = Arena.open("owner-2", 2**30, folder)
    reader = ArenaReader(arena.host, folder)
    blocks = [filled(arena, bytes([number % 256]) * (700 * KIB)) for number in range(30)]
    source = folder / blocks[0].ref(0, 1).segment
    first = blocks[0].ref(0, 10)
    for number in range(MAX_SEGMENTS + 20):
        name = f"shoal-copy-{number}"
        (folder / name).hardlink_to(source)
        reader.view(first._replace(segment=name))
    assert len([line for line in mappings(folder) if " r--s " in line]) == MAX_SEGMENTS
    assert [reader.view(block.ref(0, 1))[0] for block in blocks] == list(range(30))
    reader.close()
    arena.close()


def test_closing_twice_is_fine(arena: Arena, reader: ArenaReader, folder: Path) -> None:
    reader.view(filled(arena, b"a" * 8192).ref(0, 8192))
    reader.close()
    reader.close()
    assert len(descriptors(folder)) == 2
    assert len(names(folder)) == 1
