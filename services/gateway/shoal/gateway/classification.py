"""The classification extension: an output's highest values as texts `value:index` or `value:index:label`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.core.datatypes import NUMPY, element_count, encode_bytes
from shoal.core.errors import InvalidArgument
from shoal.core.tensors import Tensor

_FLOATS = ("FP32", "FP64")
_UNSUPPORTED = ("FP16", "BF16", "BOOL", "BYTES")
_MAX_ELEMENTS = 1_000_000


def classify(output: Tensor, count: int, is_batching: bool, labels: Sequence[str]) -> Tensor:
    """The `count` highest classes of each batch item (of the whole tensor without batching), highest first, the lower
    index first among equals, NaN last.

    Returns a BYTES tensor of shape `[B, min(count, elements)]`, without `B` when not batching. Classes beyond `labels`
    have no label. Raises InvalidArgument for a datatype without an order and for more than a million elements per item.
    """
    name, datatype, shape, data = output
    if datatype in _UNSUPPORTED:
        raise InvalidArgument(f"class result not available for output due to unsupported type '{datatype}'")
    batch = shape[0] if is_batching and shape else 1
    elements = element_count(shape[1:] if is_batching else shape)
    if elements > _MAX_ELEMENTS:
        raise InvalidArgument(
            f"classification output tensor too large: output '{name}' has {elements} elements per batch item, "
            f"at most {_MAX_ELEMENTS} can be sorted"
        )
    rows = np.frombuffer(data, NUMPY[datatype]).reshape(batch, elements)
    top = min(count, elements)
    texts: list[bytes] = []
    for row in rows:
        # Sorted ascending from behind: unsigned integers have no negative to sort by.
        keys = np.where(np.isnan(row), -np.inf, row) if datatype in _FLOATS else row
        order = elements - 1 - np.argsort(keys[::-1], kind="stable")[::-1]
        texts += [_text(row[index], int(index), datatype, labels) for index in order[:top]]
    return Tensor(name, "BYTES", (batch, top) if is_batching else (top,), encode_bytes(texts))


def _text(value: np.generic, index: int, datatype: str, labels: Sequence[str]) -> bytes:
    shown = f"{float(value):f}" if datatype in _FLOATS else str(int(value))
    return f"{shown}:{index}:{labels[index]}".encode() if index < len(labels) else f"{shown}:{index}".encode()
