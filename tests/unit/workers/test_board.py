from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from shoal.workers import board
from shoal.workers.board import SlotBoard


@pytest.fixture
def fd() -> Iterator[int]:
    descriptor = board.create()
    yield descriptor
    os.close(descriptor)


def test_an_empty_board_has_no_rows(fd: int) -> None:
    assert board.read(fd) == {}


def test_a_slot_executes_from_start_to_return(fd: int) -> None:
    slot = SlotBoard(fd, 2)
    before_ns = time.monotonic_ns()
    slot.start(epoch=1 << 40, batch_id=7)
    (row,) = board.read(fd).values()
    assert row[:4] == (1, 0, 1 << 40, 7)
    assert before_ns <= row.since_ns <= time.monotonic_ns()
    assert row.is_executing
    slot.returned()
    assert board.read(fd) == {2: row._replace(returned=1)}
    assert not board.read(fd)[2].is_executing


def test_slots_do_not_touch_each_other(fd: int) -> None:
    one, two = SlotBoard(fd, 0), SlotBoard(fd, 1)
    one.start(1, 1)
    two.start(1, 2)
    two.returned()
    assert {slot: row[:4] for slot, row in board.read(fd).items()} == {0: (1, 0, 1, 1), 1: (1, 1, 1, 2)}
