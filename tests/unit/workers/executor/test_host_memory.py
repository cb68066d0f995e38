from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from requests_to_execute import infer_request, large_tensor, tensor
from shoal.core.errors import Unavailable
from shoal.core.messages import InferRequest
from shoal.core.tensors import ArenaRef, Inline, Tensor
from shoal.memory import Arena, ArenaReader, host_id
from shoal.workers.executor.host_memory import HostMemory

MIB = 2**20


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    arena = Arena.open("executor-1", 8 * MIB, tmp_path)
    yield arena
    arena.close()


@pytest.fixture
def memory(arena: Arena, tmp_path: Path) -> HostMemory:
    return HostMemory(arena.host, arena, ArenaReader(arena.host, tmp_path))


def header(**fields: Any) -> InferRequest:
    return infer_request(tensor("A", [[1.0]]), **fields)[0]


def test_large_outputs_for_our_host_are_in_one_block_of_the_submitter(memory: HostMemory, arena: Arena) -> None:
    outputs = [large_tensor("X", 1), tensor("Y", [[2.0]]), large_tensor("Z", 3)]
    packed = memory.place(outputs, header(host=arena.host, submitter="gateway-9"), False)
    (block,) = arena.held()
    assert (packed.block, block.holder) == (block, "gateway-9")
    x, y, z = (output.ref for output in packed.headers)
    assert isinstance(x, ArenaRef) and isinstance(z, ArenaRef) and isinstance(y, Inline)
    assert bytes(memory.view(x)) == outputs[0].data
    assert bytes(memory.view(z)) == outputs[2].data
    assert packed.buffers == [outputs[1].data]


@pytest.mark.parametrize("host", ["", "0123456789abcdef"])
def test_outputs_for_another_host_travel_in_the_message(memory: HostMemory, arena: Arena, host: str) -> None:
    output = large_tensor("X")
    packed = memory.place([output], header(host=host), False)
    assert (packed.block, packed.buffers, arena.held()) == (None, [output.data], [])


def test_what_may_change_is_copied_and_what_never_does_is_not(memory: HostMemory) -> None:
    lasting, mutable = memoryview(bytes(8)), memoryview(bytearray(8))
    outputs = [Tensor("X", "UINT8", (8,), lasting), Tensor("Y", "UINT8", (8,), mutable)]
    first, second = memory.place(outputs, header(), False).buffers
    assert first is lasting
    mutable[0] = 9
    assert second == bytes(8)


def test_views_of_borrowed_inputs_are_copied(memory: HostMemory) -> None:
    data = memoryview(bytes(8))
    (buffer,) = memory.place([Tensor("X", "UINT8", (8,), data)], header(), True).buffers
    assert isinstance(buffer, bytes)


def test_without_room_outputs_up_to_a_mebibyte_travel_in_the_message(memory: HostMemory, arena: Arena) -> None:
    while arena.used_nbytes <= 6 * MIB:
        arena.allocate(MIB, "somebody")
    output = large_tensor("X", nbytes=MIB)
    arena.allocate(MIB // 2, "somebody")
    packed = memory.place([output], header(host=arena.host), False)
    assert (packed.block, packed.buffers) == (None, [output.data])


def test_without_room_larger_outputs_are_refused_with_the_reason(memory: HostMemory, arena: Arena) -> None:
    while arena.used_nbytes <= 6 * MIB:
        arena.allocate(MIB, "somebody")
    outputs = [large_tensor("X", nbytes=MIB), large_tensor("Y", nbytes=MIB)]
    expected = r"^model 'm', 2097152 bytes of outputs: shared memory is full: .*raise --shm-limit"
    with pytest.raises(Unavailable, match=expected):
        memory.place(outputs, header(host=arena.host), False)


def test_an_input_that_was_taken_back_is_gone(memory: HostMemory, arena: Arena) -> None:
    request, _ = infer_request(tensor("A", [[1.0]]), large_tensor("B"), arena=arena)
    assert memory.gone(request) is None
    (block,) = arena.held()
    memory.free(block.generation)
    gone = memory.gone(request)
    assert isinstance(gone, Unavailable)
    assert gone.message == (
        "model 'm', input 'B': its 65536 bytes of shared memory were taken back while the model was executing; what it "
        "made of them was dropped"
    )


def test_a_process_without_shared_memory_has_neither_arena_nor_host(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = HostMemory.open("executor-1", {"SHOAL_SHM_LIMIT": "0"})
    assert memory.host == host_id()
    assert memory.place([large_tensor("X")], header(host=memory.host), False).block is None
    memory.close()


def test_an_open_arena_leaves_nothing_behind() -> None:
    memory = HostMemory.open("executor-of-a-test", {"SHOAL_SHM_LIMIT": "10000000"})
    packed = memory.place([large_tensor("X")], header(host=memory.host), False)
    (output,) = packed.headers
    assert isinstance(output.ref, ArenaRef)
    assert Path("/dev/shm", output.ref.segment).exists()
    memory.tend()
    del packed
    memory.close()
    memory.close()
    assert not Path("/dev/shm", output.ref.segment).exists()
