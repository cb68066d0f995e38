"""`reshape` of the model configuration: the shape that clients use and the shape that the backend sees.

Only the shape changes, never the bytes. The request was checked against `dims`; the backend sees `reshape` for inputs
and produces `reshape` for outputs. The batch dimension, where there is one, stays in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod


def reshaped(
    shape: Sequence[int], source: Sequence[int], target: Sequence[int], *, has_batch: bool
) -> tuple[int, ...] | None:
    """`shape`, which has the form `source`, in the form `target`; None when it does not have the form `source`.

    `source` and `target` are a tensor's `dims` and `reshape` (inputs) or the other way round (outputs), without batch
    dimension; -1 is variable, and the n-th -1 of `target` takes the value of the n-th -1 of `source`. `has_batch` says
    that `shape` starts with a batch dimension.
    """
    batch, rest = (tuple(shape[:1]), shape[1:]) if has_batch else ((), shape)
    if len(rest) != len(source) or (has_batch and not batch):
        return None
    if any(expected not in (-1, got) for expected, got in zip(source, rest, strict=True)):
        return None
    variable = iter([got for expected, got in zip(source, rest, strict=True) if expected == -1])
    result = tuple(next(variable, -1) if size == -1 else size for size in target)
    return batch + result if prod(result) == prod(rest) else None
