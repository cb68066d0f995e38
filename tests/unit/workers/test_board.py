from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from shoal.workers import board
from shoal.workers.board import Row, SlotBoard


@pytest.fixture
def fd() -> Iterator[int]:
    descriptor = board.create()
    yield descriptor
    os.close(descriptor)


def test_an_empty_board_has_no_rows(fd: int) -> None:
    assert board.read(fd) == {}


def test_a_slot_executes_from_start_to_return(fd: int) -> None:
    slot = SlotBoard(fd, 2)
    slot.start()
    assert board.read(fd) == {2: Row(1, 0)}
    assert board.read(fd)[2].is_executing
    slot.returned()
    assert board.read(fd) == {2: Row(1, 1)}
    assert not board.read(fd)[2].is_executing


def test_slots_do_not_touch_each_other(fd: int) -> None:
    one, two = SlotBoard(fd, 0), SlotBoard(fd, 1)
    one.start()
    two.start()
    two.returned()
    assert board.read(fd) == {0: Row(1, 0), 1: Row(1, 1)}
