from __future__ import annotations

import numpy as np
import pytest

from shoal.core.datatypes import decode_bytes
from shoal.core.errors import InvalidArgument
from shoal.core.tensors import Tensor
from shoal.gateway.classification import classify


def tensor(datatype: str, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Tensor:
    return Tensor("SCORES", datatype, values.shape, values.tobytes())


def texts(result: Tensor) -> list[str]:
    return [element.decode() for element in decode_bytes(result.data)]


def test_floats_are_shown_with_six_decimals_and_their_label() -> None:
    result = classify(tensor("FP32", np.array([0.1, 0.7, 0.2], "<f4")), 2, False, ["ant", "bee"])
    assert (result.name, result.datatype, result.shape) == ("SCORES", "BYTES", (2,))
    assert texts(result) == ["0.700000:1:bee", "0.200000:2"]


def test_each_item_of_a_batch_is_sorted_for_itself() -> None:
    result = classify(tensor("INT32", np.array([[1, 5], [9, -2]], "<i4")), 1, True, [])
    assert result.shape == (2, 1)
    assert texts(result) == ["5:1", "9:0"]


def test_no_more_classes_than_elements() -> None:
    assert classify(tensor("UINT8", np.array([1, 200], "u1")), 9, False, []).shape == (2,)


def test_equal_values_keep_their_order_and_nan_is_last() -> None:
    result = classify(tensor("FP64", np.array([np.nan, 5.0, 5.0, -np.inf], "<f8")), 4, False, [])
    assert texts(result)[:2] == ["5.000000:1", "5.000000:2"]
    assert texts(result)[3] in ("nan:0", "-inf:3")


def test_large_integers_are_compared_exactly() -> None:
    result = classify(tensor("INT64", np.array([2**60, 2**60 + 1], "<i8")), 1, False, [])
    assert texts(result) == [f"{2**60 + 1}:1"]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "BOOL", "BYTES"])
def test_types_without_a_score_are_refused(datatype: str) -> None:
    text = f"^class result not available for output due to unsupported type '{datatype}'$"
    with pytest.raises(InvalidArgument, match=text):
        classify(Tensor("SCORES", datatype, (1,), b"\0\0"), 1, False, [])


def test_too_many_elements_are_refused() -> None:
    huge = Tensor("SCORES", "UINT8", (1_000_001,), bytes(1_000_001))
    with pytest.raises(InvalidArgument, match="classification output tensor too large"):
        classify(huge, 1, False, [])
