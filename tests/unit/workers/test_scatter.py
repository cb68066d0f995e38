from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_to_execute import backend_request, tensor
from shoal.core.datatypes import BYTE_SIZE, NUMPY, decode_bytes
from shoal.core.errors import InternalError, InvalidArgument
from shoal.core.model_config import from_json
from shoal.core.tensors import Tensor
from shoal.workers.backend import Request, Response
from shoal.workers.gather import join
from shoal.workers.scatter import Scatterer, as_tensor, split, with_errors

FIXED = sorted(name for name, size in BYTE_SIZE.items() if size)


def scatterer(max_batch_size: int = 8, *outputs: dict[str, Any]) -> Scatterer:
    fields = outputs or (
        {"name": "X", "data_type": "TYPE_FP32", "dims": [2]},
        {"name": "Y", "data_type": "TYPE_FP32", "dims": [1]},
    )
    return Scatterer(from_json({"name": "m", "max_batch_size": max_batch_size, "output": list(fields)}))


def request(rows: int, *outputs: str) -> Request:
    return backend_request(tensor("A", [[0.0]] * rows), outputs=outputs)


def shown(response: Response) -> dict[str, Any]:
    return {t.name: np.frombuffer(t.data, np.float32).reshape(t.shape).tolist() for t in response.outputs}


def test_each_request_gets_its_rows() -> None:
    apart = scatterer()
    requests = [request(1), request(2)]
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    y = np.arange(3, dtype=np.float32).reshape(3, 1)
    first, second = apart.scatter(apart.wanted(requests), [x, y], requests)
    assert shown(first) == {"X": [[0, 1]], "Y": [[0]]}
    assert shown(second) == {"X": [[2, 3], [4, 5]], "Y": [[1], [2]]}


def test_wanted_is_what_anyone_asks_for_in_the_configurations_order() -> None:
    apart = scatterer()
    assert [o.name for o in apart.wanted([request(1, "Y"), request(1, "X")])] == ["X", "Y"]
    assert [o.name for o in apart.wanted([request(1, "Y")])] == ["Y"]
    assert [o.name for o in apart.wanted([request(1, "Y"), request(1)])] == ["X", "Y"]


def test_a_request_gets_only_what_it_asked_for() -> None:
    apart = scatterer()
    requests = [request(1, "Y"), request(1)]
    arrays = [np.zeros((2, 2), np.float32), np.ones((2, 1), np.float32)]
    first, second = apart.scatter(apart.wanted(requests), arrays, requests)
    assert list(shown(first)) == ["Y"]
    assert list(shown(second)) == ["X", "Y"]


def test_the_client_sees_dims_where_the_model_makes_a_reshape() -> None:
    field = {"name": "X", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}
    apart = scatterer(8, field)
    requests = [request(1), request(2)]
    first, second = apart.scatter(apart.wanted(requests), [np.array([1, 2, 3], np.float32)], requests)
    assert (shown(first), shown(second)) == ({"X": [[1]]}, {"X": [[2], [3]]})


def test_an_output_that_does_not_fit_its_reshape_is_an_error() -> None:
    field = {"name": "X", "data_type": "TYPE_FP32", "dims": [1], "reshape": {"shape": []}}
    apart = scatterer(8, field)
    with pytest.raises(InternalError, match=r"output 'X': got shape \[1,5\], expected \[-1\]"):
        apart.scatter(apart.wanted([request(1)]), [np.zeros((1, 5), np.float32)], [request(1)])


def test_a_model_without_batching_answers_with_its_own_shape() -> None:
    apart = scatterer(0)
    whole = request(1, "X")
    (response,) = apart.scatter(apart.wanted([whole]), [np.zeros((5, 7), np.float32)], [whole])
    assert response.outputs[0].shape == (5, 7)


@pytest.mark.parametrize("shape", [(2, 4), ()])
def test_a_wrong_number_of_rows_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(InternalError, match="expected the batch's 3 rows"):
        split("X", "FP32", np.zeros(shape, np.float32), [1, 2])


def test_errors_take_their_places() -> None:
    error = InvalidArgument("no")
    good = Response((), {"n": 1}, None)
    merged = with_errors([good, good], {0: error, 2: error})
    assert [response.error for response in merged] == [error, None, error, None]


def test_text_and_bytes_become_length_prefixed_elements() -> None:
    array = np.array([["é", b"\xff"]], dtype=object)
    assert list(decode_bytes(as_tensor("S", "BYTES", array).data)) == ["é".encode(), b"\xff"]


def test_rows_of_bytes_are_split_by_elements() -> None:
    array = np.array([[b"a"], [b"bb"], [b"ccc"]], dtype=object)
    first, second = split("S", "BYTES", array, [2, 1])
    assert list(decode_bytes(first.data)) == [b"a", b"bb"]
    assert (list(decode_bytes(second.data)), second.shape) == ([b"ccc"], (1, 1))


def test_an_array_that_is_not_contiguous_is_copied_into_order() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert np.frombuffer(as_tensor("X", "FP32", array).data, np.float32).tolist() == array.ravel().tolist()


@given(
    datatype=st.sampled_from(FIXED),
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    dims=st.lists(st.integers(0, 4), max_size=3),
)
def test_what_was_joined_comes_apart_again(datatype: str, sizes: list[int], dims: list[int]) -> None:
    dtype = np.dtype(NUMPY[datatype])
    parts = [np.full((size, *dims), index % 2, dtype) for index, size in enumerate(sizes)]
    tensors = [Tensor("X", datatype, part.shape, part.tobytes()) for part in parts]
    back = split("X", datatype, join(tensors), sizes)
    assert [(t.shape, bytes(t.data)) for t in back] == [(t.shape, bytes(t.data)) for t in tensors]
