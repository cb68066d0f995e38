from __future__ import annotations

from math import inf

import pytest

from shoal.gateway.input_holds import InputHolds


@pytest.fixture
def holds() -> InputHolds:
    """Two blocks of requests that scheduler a was told of, opened at 1 and 2."""
    holds = InputHolds()
    holds.keep(5, 31, "a", 1.0)
    holds.keep(6, 32, "a", 2.0)
    return holds


def test_the_scheduler_that_was_told_last_frees_a_block_once(holds: InputHolds) -> None:
    assert holds.closed("a", (5, 7)) == [31]
    assert holds.closed("a", (5,)) == []
    assert len(holds) == 1


def test_the_word_of_another_scheduler_frees_nothing(holds: InputHolds) -> None:
    assert holds.closed("b", (5, 6)) == []
    assert len(holds) == 2


def test_who_is_asked_has_the_word_from_then_on(holds: InputHolds) -> None:
    assert holds.ask("b", inf) == (5, 6)
    assert holds.closed("a", (5, 6)) == []
    assert holds.closed("b", (5, 6)) == [31, 32]


def test_only_those_are_asked_after_that_are_old_enough(holds: InputHolds) -> None:
    assert holds.ask("b", 1.5) == (5,)
    assert holds.closed("a", (6,)) == [32]
