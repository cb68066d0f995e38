from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from shoal.core.datatypes import NUMPY
from shoal.core.tensors import Tensor as WireTensor
from shoal.workers.python.error import TritonModelException
from shoal.workers.python.tensor import Tensor, from_wire, to_wire

NUMERIC = sorted(set(NUMPY) - {"BYTES", "BF16"})


def wire(array: npt.NDArray[Any], datatype: str, *, writable: bool = False) -> WireTensor:
    data = array.tobytes()
    return WireTensor("X", datatype, array.shape, memoryview(bytearray(data) if writable else data))


def given(tensor: WireTensor) -> Tensor:
    return from_wire(tensor, tensor.shape)


@pytest.mark.parametrize("datatype", NUMERIC)
def test_numbers_come_and_leave_unchanged(datatype: str) -> None:
    array = np.arange(6).astype(NUMPY[datatype]).reshape(2, 3)
    tensor = given(wire(array, datatype))
    assert tensor.as_numpy().dtype == array.dtype
    assert np.array_equal(tensor.as_numpy(), array)
    assert to_wire(Tensor("X", tensor.as_numpy())) == WireTensor("X", datatype, (2, 3), array.tobytes())


def test_name_shape_and_number_can_be_asked() -> None:
    tensor = given(wire(np.zeros((2, 3), np.float32), "FP32"))
    assert (tensor.name(), tensor.shape(), tensor.triton_dtype(), tensor.is_cpu()) == ("X", [2, 3], 11, True)


def test_input_over_writable_memory_is_a_view_of_it() -> None:
    tensor = wire(np.zeros(4, np.int32), "INT32", writable=True)
    given(tensor).as_numpy()[1] = 7
    assert np.frombuffer(tensor.data, np.int32).tolist() == [0, 7, 0, 0]


def test_input_over_read_only_memory_can_be_written_to_and_is_the_same_at_each_call() -> None:
    tensor = given(wire(np.zeros(4, np.int32), "INT32"))
    tensor.as_numpy()[1] = 7
    assert tensor.as_numpy().tolist() == [0, 7, 0, 0]
    assert to_wire(tensor).data == np.array([0, 7, 0, 0], np.int32).tobytes()


def test_input_at_an_odd_address_becomes_an_aligned_array() -> None:
    memory = bytearray(b"\0" + np.array([1.5, 2.5], np.float32).tobytes())
    array = given(WireTensor("X", "FP32", (2,), memoryview(memory)[1:])).as_numpy()
    assert array.flags.aligned
    assert array.tolist() == [1.5, 2.5]


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()])
def test_empty_tensors_and_scalars_come_and_leave(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    assert given(wire(array, "FP32")).as_numpy().shape == shape
    assert to_wire(Tensor("X", array)) == WireTensor("X", "FP32", shape, array.tobytes())


def test_strings_are_an_object_array_of_bytes_in_the_tensors_shape() -> None:
    tensor = given(WireTensor("X", "BYTES", (2, 1), b"\x01\x00\x00\x00a\x00\x00\x00\x00"))
    assert tensor.as_numpy().tolist() == [[b"a"], [b""]]
    assert to_wire(tensor).data == b"\x01\x00\x00\x00a\x00\x00\x00\x00"


def test_an_input_handed_on_untouched_keeps_its_bytes() -> None:
    tensor = WireTensor("X", "FP32", (2,), memoryview(bytes(range(8))))
    assert to_wire(given(tensor)) == tensor


def test_what_leaves_is_a_copy_if_it_is_small() -> None:
    array = np.zeros(1024, np.int32)
    left = to_wire(Tensor("X", array))
    array[:] = 1
    assert bytes(left.data) == bytes(4096)


def test_what_leaves_is_a_view_that_can_be_told_from_lasting_data_if_it_is_large() -> None:
    array = np.zeros(1025, np.int32)
    left = to_wire(Tensor("X", array))
    assert isinstance(left.data, memoryview)
    assert not left.data.readonly
    array[:] = 1
    assert bytes(left.data) == array.tobytes()


@pytest.mark.parametrize("array", [np.arange(4096.0).reshape(64, 64).T, np.ma.masked_array(np.ones(1025))])
def test_large_arrays_of_any_layout_and_kind_leave_row_major(array: npt.NDArray[Any]) -> None:
    left = to_wire(Tensor("X", array))
    assert (left.shape, bytes(left.data)) == (array.shape, array.tobytes())


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int32).reshape(2, 3).T,
        np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2],
        np.arange(6, dtype=">i4").reshape(3, 2),
    ],
)
def test_any_layout_and_byte_order_leaves_row_major_and_little_endian(array: npt.NDArray[Any]) -> None:
    assert to_wire(Tensor("X", array)).data == array.astype("<i4").tobytes(order="C")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(TritonModelException, match=r"^Tensor name cannot be an empty string\.$"):
        Tensor("", np.zeros(1))
    with pytest.raises(TritonModelException, match=r"^Tensor name cannot be an empty string\.$"):
        Tensor.from_dlpack("", np.zeros(1))


def test_what_is_no_array_is_refused_by_type() -> None:
    with pytest.raises(TypeError, match=r"tensor 'X': expected a numpy\.ndarray, got <class 'list'>"):
        Tensor("X", [1, 2])  # type: ignore[arg-type]


def test_a_dtype_that_the_protocol_does_not_have_is_refused() -> None:
    with pytest.raises(TritonModelException, match="tensor 'X': dtype complex128 is not supported"):
        Tensor("X", np.zeros(1, complex))


def test_bf16_is_no_numpy_array() -> None:
    with pytest.raises(TritonModelException, match="Tensor dtype is BF16 and cannot be converted to NumPy"):
        given(WireTensor("X", "BF16", (1,), b"\x80\x3f")).as_numpy()


@pytest.mark.parametrize("datatype", NUMERIC)
def test_dlpack_shares_memory_both_ways(datatype: str) -> None:
    array = np.arange(6).astype(NUMPY[datatype]).reshape(2, 3)
    tensor = Tensor("X", array)
    assert np.shares_memory(np.from_dlpack(tensor), array)
    for source in (array, tensor, tensor.to_dlpack()):
        taken = Tensor.from_dlpack("Y", source)
        assert np.shares_memory(taken.as_numpy(), array)
        assert to_wire(taken) == WireTensor("Y", datatype, (2, 3), array.tobytes())


@pytest.mark.parametrize("shape", [(2,), (2, 1), (0,), ()])
def test_bf16_travels_by_dlpack(shape: tuple[int, ...]) -> None:
    data = bytes(range(2 * int(np.prod(shape))))
    tensor = given(WireTensor("X", "BF16", shape, data))
    for source in (tensor, tensor.to_dlpack()):
        assert to_wire(Tensor.from_dlpack("Y", source)) == WireTensor("Y", "BF16", shape, data)


def test_strings_have_no_dlpack() -> None:
    with pytest.raises(TritonModelException, match="DLPack does not have support for string tensors"):
        Tensor("X", np.array([b"a"], dtype=object)).to_dlpack()


def test_dlpack_of_an_array_with_gaps_is_packed() -> None:
    array = np.arange(6, dtype=np.float32)[::2]
    assert np.from_dlpack(Tensor("X", array)).tolist() == [0, 2, 4]


def test_a_dlpack_tensor_with_gaps_is_refused() -> None:
    with pytest.raises(TritonModelException, match="DLPack tensor is not contiguous"):
        Tensor.from_dlpack("X", np.arange(6, dtype=np.float32)[::2])


def test_what_gives_no_dlpack_is_refused_by_type() -> None:
    with pytest.raises(TritonModelException, match=r"have a `__dlpack__` attribute, got <class 'list'>"):
        Tensor.from_dlpack("X", [1])


def test_a_capsule_that_was_used_is_refused() -> None:
    capsule = Tensor("X", np.zeros(1, np.float32)).to_dlpack()
    Tensor.from_dlpack("Y", capsule)
    with pytest.raises(TritonModelException, match="tensor 'Z': the DLPack capsule holds no tensor"):
        Tensor.from_dlpack("Z", capsule)
