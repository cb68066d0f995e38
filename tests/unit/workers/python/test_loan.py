from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from shoal.core.tensors import Tensor as WireTensor
from shoal.memory import Arena, ArenaReader, dlpack
from shoal.workers.python.loan import Loans
from shoal.workers.python.tensor import Tensor, from_wire, to_wire

NBYTES = 2**16


class Shared:
    """Blocks of a submitter, lent to a model."""

    def __init__(self, folder: Path) -> None:
        self.arena = Arena.open("gateway-1", 2**28, folder)
        self.loans = Loans()
        self._reader = ArenaReader(self.arena.host, folder)

    def bytes(self, nbytes: int = NBYTES, value: int = 1) -> memoryview:
        """A view of a block, all of it `value`."""
        block = self.arena.allocate(nbytes, "scheduler")
        np.frombuffer(block.memory, np.uint8)[:] = value
        return self._reader.view(block.ref(0, nbytes))

    def tensor(self, datatype: str, data: memoryview, shape: tuple[int, ...]) -> Tensor:
        return from_wire(WireTensor("X", datatype, shape, data), shape, self.loans.lend(data))

    def end(self) -> None:
        """End the loans; the blocks are given to others."""
        self.loans.end()
        for block in self.arena.held():
            np.frombuffer(block.memory, np.uint8)[:] = 255
            self.arena.free(block.generation)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    shared = Shared(tmp_path)
    yield shared
    shared.arena.close()


def test_what_is_written_to_an_array_nobody_else_sees(shared: Shared) -> None:
    data = shared.bytes(NBYTES)
    array = shared.loans.lend(data).array()
    array[0] = 9
    assert data[0] == 1
    assert shared.loans.lend(data).array()[0] == 1


def test_an_array_that_is_kept_keeps_its_bytes(shared: Shared) -> None:
    array = shared.loans.lend(shared.bytes(NBYTES)).array()
    array[5] = 9
    shared.end()
    assert array[5] == 9
    assert int(np.count_nonzero(array == 1)) == NBYTES - 1
    array[7] = 8


def test_a_view_that_is_kept_keeps_its_bytes(shared: Shared) -> None:
    tensor = shared.tensor("FP32", shared.bytes(NBYTES), (NBYTES // 4,))
    view = tensor.as_numpy()[::2].reshape(-1, 2).T
    del tensor
    shared.end()
    assert (view.view(np.uint8) if view.flags.c_contiguous else np.ascontiguousarray(view).view(np.uint8)).max() == 1


def test_a_dlpack_capsule_that_is_kept_keeps_its_bytes(shared: Shared) -> None:
    tensor = shared.tensor("UINT8", shared.bytes(NBYTES), (NBYTES,))
    unused, used = tensor.to_dlpack(), np.from_dlpack(tensor)
    del tensor
    shared.end()
    assert used.max() == 1
    assert Tensor.from_dlpack("Y", unused).as_numpy().max() == 1


def test_a_memoryview_that_is_kept_keeps_its_bytes(shared: Shared) -> None:
    kept = shared.tensor("UINT8", shared.bytes(NBYTES), (NBYTES,)).as_numpy().data
    shared.end()
    assert bytes(kept) == b"\1" * NBYTES


def test_a_tensor_that_is_kept_unread_keeps_its_bytes(shared: Shared) -> None:
    tensor = shared.tensor("INT32", shared.bytes(), (NBYTES // 4,))
    shared.end()
    array = tensor.as_numpy()
    assert array.tobytes() == b"\1" * NBYTES
    array[0] = 0
    assert to_wire(tensor).data[:4] == bytes(4)


def test_a_bf16_tensor_that_is_kept_keeps_its_bytes(shared: Shared) -> None:
    tensor = shared.tensor("BF16", shared.bytes(), (NBYTES // 2,))
    before = tensor.to_dlpack()
    shared.end()
    for capsule in (before, tensor.to_dlpack()):
        assert dlpack.copy_bytes(dlpack.describe(capsule)) == b"\1" * NBYTES


def test_strings_are_the_models_own(shared: Shared) -> None:
    data = shared.bytes(value=0)
    array = shared.tensor("BYTES", data, (NBYTES // 4,)).as_numpy()
    shared.end()
    assert array.tolist() == [b""] * (NBYTES // 4)


def test_an_input_handed_on_untouched_is_not_copied(shared: Shared) -> None:
    data = shared.bytes()
    tensor = shared.tensor("UINT8", data, (NBYTES,))
    assert to_wire(tensor).data is data
    shared.end()
    assert to_wire(tensor).data == b"\1" * NBYTES


def test_a_kept_array_of_an_earlier_execution_is_left_alone(shared: Shared) -> None:
    array: npt.NDArray[Any] = shared.loans.lend(shared.bytes()).array()
    shared.end()
    shared.bytes(value=3)
    shared.end()
    assert array.max() == 1
