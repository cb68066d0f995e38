"""Owners that live, die, fork and pause, and those who read and sweep what is theirs: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from segments import descriptors, mappings, names
from shoal.core.tensors import ArenaRef
from shoal.memory import Arena, ArenaReader, Gone, host_id
from shoal.memory.inspection import inspect
from shoal.memory.sweep import sweep

Start = Callable[..., "subprocess.Popen[str]"]
RefsOf = Callable[["subprocess.Popen[str]"], list[ArenaRef]]

SIZES = ("10000", "100000", "5000000")


def later(seconds: float) -> Callable[[], float]:
    return lambda: time.time() + seconds


def test_what_one_process_writes_another_reads(folder: Path, start: Start, refs_of: RefsOf) -> None:
    refs = refs_of(start("owner.py", "owner-1", *SIZES))
    reader = ArenaReader(host_id(folder), folder)
    assert [reader.copy(ref) for ref in refs] == [bytes([ref.generation]) * ref.nbytes for ref in refs]
    reader.close()
    assert (descriptors(folder), mappings(folder)) == ([], [])


def test_an_owner_that_ends_leaves_nothing(folder: Path, start: Start, refs_of: RefsOf) -> None:
    owner = start("owner.py", "owner-1", *SIZES)
    refs_of(owner)
    owner.communicate(timeout=10)
    assert (owner.returncode, names(folder)) == (0, [])


def test_answers_of_a_killed_owner_can_be_read_until_the_grace_is_over(
    folder: Path, start: Start, refs_of: RefsOf
) -> None:
    owner = start("owner.py", "owner-1", *SIZES)
    refs = refs_of(owner)
    assert [segment.is_alive for segment in inspect(folder)] == [True] * 3
    owner.kill()
    owner.wait()
    assert [segment.is_alive for segment in inspect(folder)] == [False] * 3
    reader = ArenaReader(refs[0].host, folder)
    assert sweep(folder) == []
    assert reader.copy(refs[1]) == bytes([refs[1].generation]) * refs[1].nbytes
    assert sweep(folder, clock=later(5.1)) == ["shoal-owner-1-1", "shoal-owner-1-2", "shoal-owner-1-3"]
    reader.tend()
    with pytest.raises(Gone, match="its owner has ended"):
        reader.copy(refs[1])
    assert (names(folder), mappings(folder)) == ([], [])


def test_the_next_owner_removes_what_a_killed_one_left(folder: Path, start: Start, refs_of: RefsOf) -> None:
    owner = start("owner.py", "owner-1", *SIZES)
    refs_of(owner)
    owner.kill()
    owner.wait()
    Arena.open("owner-2", 2**20, folder, clock=later(6)).close()
    assert names(folder) == []


def test_an_owner_that_is_stopped_lives(folder: Path, start: Start, refs_of: RefsOf) -> None:
    owner = start("owner.py", "owner-1", *SIZES)
    refs_of(owner)
    owner.send_signal(signal.SIGSTOP)
    assert sweep(folder, 0.0, clock=later(3600)) == []
    assert len(names(folder)) == 3


def test_no_living_owner_is_swept_while_many_come_and_go(folder: Path, start: Start) -> None:
    owners = [start("churn.py", "2") for _ in range(6)]
    codes = [(owner.communicate(timeout=30), owner.returncode)[1] for owner in owners]
    assert (codes, names(folder)) == ([0] * 6, [])


def test_a_reader_gets_a_whole_tensor_or_none(folder: Path, start: Start) -> None:
    writer = start("rewriter.py")
    assert writer.stdout is not None
    writer.stdout.readline()
    reader = ArenaReader(host_id(folder), folder)
    whole = gone = 0
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline or not whole or not gone:
        assert time.monotonic() < deadline + 20
        try:
            ref = ArenaRef(*json.loads((folder / "latest").read_text()))
        except ValueError:
            continue  # read while it was written
        for _ in range(5):
            try:
                data = reader.copy(ref)
            except Gone:
                gone += 1
                break
            whole += 1
            assert data == bytes([ref.generation % 256]) * ref.nbytes
    reader.close()


def test_a_forked_child_neither_removes_nor_keeps_what_is_its_parents(folder: Path, start: Start) -> None:
    parent = start("forking.py")
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        (segment,) = inspect(folder)
        assert (segment.is_alive, segment.used_blocks) == (True, 1)
        parent.kill()
        parent.wait()
        assert Path(f"/proc/{child}").exists()
        assert sweep(folder, 0.0) == ["shoal-forking-1-1"]
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_started_program_does_not_keep_what_is_its_parents(folder: Path) -> None:
    arena = Arena.open("owner-1", 2**24, folder)
    arena.allocate(8192, "x")
    script = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n != '3'])"
    held = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, close_fds=False)
    arena.close()
    assert str(folder) not in held.stdout
