from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.workers.reshape import reshaped


@pytest.mark.parametrize(
    ("shape", "source", "target", "has_batch", "expected"),
    [
        ((3, 4), (4,), (2, 2), True, (3, 2, 2)),
        ((3, 2, 2), (2, 2), (4,), True, (3, 4)),
        ((5, 1), (1,), (), True, (5,)),
        ((5,), (), (1,), True, (5, 1)),
        ((4,), (4,), (2, 2), False, (2, 2)),
        ((2, 7, 5), (2, -1, -1), (-1, 2, -1), False, (7, 2, 5)),
        ((0, 4), (4,), (2, 2), True, (0, 2, 2)),
    ],
)
def test_batch_stays_in_front_and_variable_sizes_are_copied_by_position(
    shape: tuple[int, ...],
    source: tuple[int, ...],
    target: tuple[int, ...],
    has_batch: bool,
    expected: tuple[int, ...],
) -> None:
    assert reshaped(shape, source, target, has_batch=has_batch) == expected


@pytest.mark.parametrize(
    ("shape", "source", "has_batch"),
    [((3, 5), (4,), True), ((4,), (4,), True), ((2, 2), (4,), False), ((), (4,), True), ((), (), True)],
)
def test_a_shape_of_another_form_has_no_reshape(
    shape: tuple[int, ...], source: tuple[int, ...], has_batch: bool
) -> None:
    assert reshaped(shape, source, (2, 2), has_batch=has_batch) is None


def test_a_target_of_another_size_is_refused() -> None:
    assert reshaped((4,), (4,), (3,), has_batch=False) is None


@given(st.integers(0, 5), st.lists(st.integers(0, 5), max_size=4), st.integers(1, 3))
def test_going_there_and_back_gives_the_shape_again(batch: int, sizes: list[int], extra: int) -> None:
    shape = (batch, *sizes, extra)
    source = (*[-1] * len(sizes), extra)
    target = (extra, *[-1] * len(sizes))
    there = reshaped(shape, source, target, has_batch=True)
    assert there is not None
    assert prod(there) == prod(shape)
    assert reshaped(there, target, source, has_batch=True) == shape
