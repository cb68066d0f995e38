from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_to_execute import backend_request, tensor
from shoal.core.datatypes import BYTE_SIZE, NUMPY, encode_bytes
from shoal.core.errors import InternalError, InvalidArgument
from shoal.core.model_config import from_json
from shoal.core.tensors import Tensor
from shoal.workers.gather import Gatherer, aligned_bytes, bytes_array, join

FIXED = sorted(name for name, size in BYTE_SIZE.items() if size)


def config(max_batch_size: int = 8, **field: Any) -> Any:
    raw = {"name": "A", "data_type": "TYPE_FP32", "dims": [2]} | field
    return from_json({"name": "m", "max_batch_size": max_batch_size, "input": [raw]})


def text(name: str, *elements: bytes) -> Tensor:
    return Tensor(name, "BYTES", (len(elements), 1), encode_bytes(elements))


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_requests_are_joined_in_order() -> None:
    requests = [backend_request(tensor("A", [[1, 2]])), backend_request(tensor("A", [[3, 4], [5, 6]]))]
    arrays, live, errors = Gatherer(config()).gather(requests)
    assert arrays["A"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert (live, errors) == (requests, {})


def test_inputs_may_come_in_any_order() -> None:
    one = backend_request(tensor("A", [[1, 2]]), tensor("B", [[3]]))
    two = backend_request(tensor("B", [[6]]), tensor("A", [[4, 5]]))
    arrays = Gatherer(config()).gather([one, two]).arrays
    assert arrays["A"].tolist() == [[1, 2], [4, 5]]
    assert arrays["B"].tolist() == [[3], [6]]


def test_the_model_sees_the_reshaped_input() -> None:
    reshaping = config(dims=[1], reshape={"shape": []})
    arrays = Gatherer(reshaping).gather([backend_request(tensor("A", [[1]])), backend_request(tensor("A", [[2]]))])[0]
    assert arrays["A"].shape == (2,)


def test_variable_dimensions_keep_their_values_in_a_reshape() -> None:
    reshaping = config(dims=[-1, 4], reshape={"shape": [2, -1, 2]})
    arrays = Gatherer(reshaping).gather(
        [
            backend_request(tensor("A", [[1, 2, 3, 4]]), batch_size=1)._replace(
                inputs=(Tensor("A", "FP32", (1, 3, 4), bytes(48)),)
            )
        ]
    )[0]
    assert arrays["A"].shape == (1, 2, 3, 2)


def test_a_request_with_too_few_bytes_is_left_out_alone() -> None:
    bad = backend_request(Tensor("A", "FP32", (1, 2), b"1234"))
    good = backend_request(tensor("A", [[1, 2]]))
    arrays, live, errors = Gatherer(config()).gather([bad, good])
    assert arrays["A"].tolist() == [[1, 2]]
    assert live == [good]
    assert errors[0].message == "input 'A' of datatype FP32 and shape [1,2] has 4 bytes, expected 8"


def test_shapes_that_differ_behind_the_batch_fail_the_execution() -> None:
    requests = [backend_request(tensor("A", [[1, 2]])), backend_request(tensor("A", [[1, 2, 3]]))]
    with pytest.raises(InternalError, match=r"input 'A' has shapes \[1,2\] and \[1,3\] in one batch"):
        Gatherer(config()).gather(requests)


def test_different_inputs_in_one_batch_fail_the_execution() -> None:
    requests = [backend_request(tensor("A", [[1]])), backend_request(tensor("B", [[1]]))]
    with pytest.raises(InternalError, match="input 'A' is missing"):
        Gatherer(config()).gather(requests)


def test_elements_of_bytes_are_bytes() -> None:
    requests = [backend_request(text("S", b"a", b"")), backend_request(text("S", b"\xff"))]
    arrays = Gatherer(config()).gather(requests).arrays
    assert arrays["S"].tolist() == [[b"a"], [b""], [b"\xff"]]


def test_text_that_is_none_is_the_error_of_its_request_alone() -> None:
    requests = [backend_request(text("S", b"fine")), backend_request(text("S", b"a\xff"))]
    arrays, _, errors = Gatherer(config(), as_text=True).gather(requests)
    assert arrays["S"].tolist() == [["fine"]]
    assert "input 'S' of model 'm' has an element that is not UTF-8" in errors[1].message


def test_a_wrong_number_of_elements_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"expected 2 string elements for input 'S' of shape \[2\], got 1"):
        bytes_array(Tensor("S", "BYTES", (2,), encode_bytes([b"one"])))


def test_a_scalar_of_a_model_without_batching_passes() -> None:
    scalar = Tensor("A", "FP32", (), np.float32(3).tobytes())
    assert Gatherer(config(0)).gather([backend_request(scalar)]).arrays["A"].shape == ()


def test_no_live_request_gives_no_arrays() -> None:
    bad = backend_request(Tensor("A", "FP32", (1, 2), b""))
    assert Gatherer(config()).gather([bad]).arrays == {}


@given(
    datatype=st.sampled_from(FIXED),
    rows=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    dims=st.lists(st.integers(0, 4), max_size=3),
    offset=st.integers(0, 9),
    alignment=st.sampled_from([1, 8, 64, 128]),
    data=st.data(),
)
def test_joining_is_concatenating_and_aligned(
    *, datatype: str, rows: list[int], dims: list[int], offset: int, alignment: int, data: st.DataObject
) -> None:
    dtype = np.dtype(NUMPY[datatype])
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    sources = [generator.integers(0, 2, (n, *dims)).astype(dtype) for n in rows]
    tensors = [Tensor("A", datatype, s.shape, memoryview(b"x" * offset + s.tobytes())[offset:]) for s in sources]
    joined = join(tensors, alignment)
    assert joined.dtype == dtype
    assert np.array_equal(joined, np.concatenate(sources))
    assert joined.flags.c_contiguous
    assert joined.size == 0 or address(joined) % max(alignment, dtype.itemsize) == 0


def test_a_single_aligned_tensor_is_not_copied() -> None:
    memory = aligned_bytes(64)
    joined = join([Tensor("A", "FP32", (4, 4), memory.data)])
    assert np.shares_memory(joined, memory)


@given(nbytes=st.integers(0, 1000), alignment=st.sampled_from([1, 16, 64, 4096]))
def test_memory_is_aligned(nbytes: int, alignment: int) -> None:
    memory = aligned_bytes(nbytes, alignment)
    assert memory.nbytes == nbytes
    assert nbytes == 0 or address(memory) % alignment == 0
