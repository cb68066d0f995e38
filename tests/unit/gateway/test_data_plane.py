from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eventually import eventually
from gateway_models import call, served, tensor_config
from region_parts import BytesRegion
from shoal.core.errors import InternalError, InvalidArgument
from shoal.core.tensors import ARENA, ArenaRef, Tensor, TensorHeader, resolve
from shoal.gateway.data_plane import DataPlane
from shoal.gateway.errors import Overloaded
from shoal.gateway.normalize import Checked, check
from shoal.gateway.region_part import RegionPart
from shoal.gateway.scattered import Input, Pieces, RegionTensor, ScatteredTensor
from shoal.memory import Arena, Packed

MIB = 2**20


@pytest.fixture
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    arena = Arena.open(f"test-{request.node.name[:20]}-gateway".replace("[", "_").replace("]", "_"), 8 * MIB)
    try:
        yield arena
    finally:
        arena.close()


@pytest.fixture
def plane(arena: Arena) -> Iterator[DataPlane]:
    plane = DataPlane(arena)
    try:
        yield plane
    finally:
        plane.close()


def data(nbytes: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(nbytes)


def whole(name: str, content: bytes) -> Tensor:
    return Tensor(name, "UINT8", (len(content),), content)


def scattered(name: str, *pieces: bytes) -> ScatteredTensor:
    return ScatteredTensor(name, "UINT8", (sum(map(len, pieces)),), Pieces([memoryview(piece) for piece in pieces]))


class GoneRegion(BytesRegion):
    """What a client has taken away."""

    def read_into(self, memory: memoryview, offset: int) -> None:
        raise InvalidArgument("shared memory region 'r' has shrunk")


class GatedRegion(BytesRegion):
    """One that takes its time to be read."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.is_read, self.may_go_on = threading.Event(), threading.Event()

    def read_into(self, memory: memoryview, offset: int) -> None:
        self.is_read.set()
        assert self.may_go_on.wait(10)
        super().read_into(memory, offset)


def in_region(name: str, region: BytesRegion, offset: int = 0) -> RegionTensor:
    """All of the region from an offset on."""
    part = RegionPart(region, offset, region.nbytes - offset)
    return RegionTensor(name, "UINT8", (len(part),), part)


def checked(*inputs: Input, **more: Any) -> Checked:
    configs = [tensor_config(tensor.name, "TYPE_UINT8", [-1], **more) for tensor in inputs]
    config = {"name": "m", "backend": "python", "max_batch_size": 0, "input": configs, "output": []}
    return check(call(model="m")._replace(inputs=inputs), served(config))


def read(plane: DataPlane, packed: Packed) -> list[bytes]:
    """The inputs as a consumer finds them."""
    payload = memoryview(b"".join(packed.buffers))
    return [bytes(resolve(header, payload, plane.copy).data) for header in packed.headers]


def ref(header: TensorHeader) -> ArenaRef:
    assert isinstance(header.ref, ArenaRef)
    return header.ref


def test_small_inputs_travel_in_the_message_without_a_copy(plane: DataPlane, arena: Arena) -> None:
    content = data(4096)
    request = checked(whole("A", content), whole("B", b""))
    same, packed = plane.pack(request)
    assert same is request
    assert packed.block is None
    assert packed.buffers[0] is content
    assert read(plane, packed) == [content, b""]
    assert arena.held() == []


def test_large_inputs_share_a_block_and_small_ones_travel_in_the_message(plane: DataPlane, arena: Arena) -> None:
    contents = data(5000), data(10), data(300_000, 1), data(4097, 2)
    _, packed = plane.pack(checked(*(whole(name, content) for name, content in zip("ABCD", contents, strict=True))))
    assert packed.block is not None
    assert arena.held() == [packed.block]
    assert packed.block.holder == "scheduler"
    assert read(plane, packed) == list(contents)
    assert b"".join(packed.buffers) == contents[1]
    assert [ref(packed.headers[number]).offset % 64 for number in (0, 2, 3)] == [0, 0, 0]


def test_pieces_are_copied_into_the_block_one_after_the_other(plane: DataPlane) -> None:
    first, second, third = data(100_001), data(1, 1), data(70_000, 2)
    _, packed = plane.pack(checked(scattered("A", first, second, third), scattered("B", second, second)))
    assert read(plane, packed) == [first + second + third, second + second]


def test_what_was_packed_into_a_block_does_not_need_what_it_came_with(plane: DataPlane) -> None:
    body = bytearray(data(9000))
    content = bytes(body)
    views = memoryview(body)[:8000], memoryview(body)[8000:]
    inputs = tuple(Tensor(name, "UINT8", (len(view),), view) for name, view in zip("AB", views, strict=True))
    again, packed = plane.pack(checked(*inputs))
    body[:] = bytes(9000)
    assert read(plane, packed) == [content[:8000], content[8000:]]
    assert [bytes(tensor.data) for tensor in again.call.inputs if isinstance(tensor, Tensor)] == read(plane, packed)
    assert check(again.call, again.served) == again


def test_shape_tensors_travel_in_the_message_whatever_their_size(plane: DataPlane) -> None:
    content = data(8000)
    _, packed = plane.pack(checked(whole("A", content), is_shape_tensor=True))
    assert packed.block is None
    assert read(plane, packed) == [content]


def test_while_an_executor_is_on_another_host_everything_travels_in_messages(plane: DataPlane) -> None:
    request = checked(scattered("A", data(5000), data(5000, 1)))
    plane.executor_is_on("executor-1", plane.host)
    plane.executor_is_on("executor-2", "f" * 16)
    _, packed = plane.pack(request)
    assert packed.block is None
    assert read(plane, packed) == [data(5000) + data(5000, 1)]
    plane.executor_is_on("executor-2", None)
    assert plane.pack(request)[1].block is not None


def test_a_full_arena_asks_to_come_again_until_blocks_are_freed(plane: DataPlane, arena: Arena) -> None:
    request = checked(whole("A", bytes(3 * MIB)))
    packed = [plane.pack(request)[1] for _ in range(2)]
    with pytest.raises(Overloaded, match="request for model 'm' was not accepted: shared memory is full") as caught:
        plane.pack(request)
    assert (caught.value.http_status, caught.value.grpc_status) == (429, 8)
    assert packed[0].block is not None
    plane.free(packed[0].block.generation)
    plane.pack(request)
    assert len(arena.held()) == 2


@pytest.mark.parametrize("nbytes", [8 * MIB - 1, 8 * MIB + 1])
def test_inputs_that_never_have_room_are_refused_for_good(plane: DataPlane, arena: Arena, nbytes: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        plane.pack(checked(whole("A", bytes(nbytes - 8192)), whole("B", bytes(8192))))
    text = caught.value.message
    for part in ("model 'm'", f"'A' {nbytes - 8192}", "'B' 8192", str(8 * MIB), "--shm-limit", "shm_size"):
        assert part in text
    assert arena.held() == []


def test_without_an_arena_everything_travels_in_messages() -> None:
    plane = DataPlane(None)
    request = checked(whole("A", data(9000)))
    assert plane.host == ""
    assert plane.pack(request)[1].block is None
    with pytest.raises(InternalError, match="cannot be read here"):
        plane.copy(ArenaRef(ARENA, "elsewhere", "s", 0, 8, 1))
    plane.tend()
    plane.close()


def test_closing_leaves_nothing_in_shared_memory(plane: DataPlane, arena: Arena) -> None:
    _, packed = plane.pack(checked(whole("A", data(9000))))
    segment = Path("/dev/shm", ref(packed.headers[0]).segment)
    assert segment.exists()
    plane.close()
    assert not segment.exists()


def test_inputs_in_regions_are_read_into_the_block_beside_the_others(plane: DataPlane) -> None:
    contents = data(9000), data(20), data(300_000, 1)
    regions = [BytesRegion(contents[0]), BytesRegion(bytes(7) + contents[2])]
    same, packed = plane.pack(
        checked(in_region("A", regions[0]), whole("B", contents[1]), in_region("C", regions[1], offset=7))
    )
    regions[0].content[:] = bytes(9000)
    assert packed.block is not None
    assert read(plane, packed) == list(contents)
    assert [bytes(tensor.data) for tensor in same.call.inputs] == list(contents)  # type: ignore[arg-type]  # no parts


def test_without_an_arena_regions_are_read_once(plane: DataPlane) -> None:
    content = data(9000)
    region = BytesRegion(content)
    same, packed = DataPlane(None).pack(checked(in_region("A", region)))
    region.content[:] = bytes(9000)
    assert b"".join(packed.buffers) == content
    assert bytes(same.call.inputs[0].data) == content  # type: ignore[arg-type]  # no part


def test_a_shape_tensor_in_a_region_travels_in_the_message(plane: DataPlane) -> None:
    content = data(9000)
    request = checked(in_region("A", BytesRegion(content)), in_region("B", BytesRegion(content)), is_shape_tensor=True)
    assert b"".join(plane.pack(request)[1].buffers) == content + content


def test_a_region_that_has_shrunk_leaves_no_block_behind(plane: DataPlane, arena: Arena) -> None:
    with pytest.raises(InvalidArgument, match="has shrunk"):
        plane.pack(checked(whole("A", data(9000)), in_region("B", GoneRegion(bytes(9000)))))
    assert arena.held() == []


async def test_what_was_packed_aside_is_not_packed_again(plane: DataPlane, arena: Arena) -> None:
    content = data(9000)
    aside = await plane.pack_aside(checked(in_region("A", BytesRegion(content))))
    same, packed = plane.pack(aside)
    assert same is aside
    assert packed is aside.packed
    assert arena.held() == [packed.block]
    assert read(plane, packed) == [content]


async def test_packing_aside_that_is_given_up_frees_its_block_when_it_is_written(
    plane: DataPlane, arena: Arena
) -> None:
    region = GatedRegion(data(9000))
    packing = asyncio.create_task(plane.pack_aside(checked(in_region("A", region))))
    assert await asyncio.to_thread(region.is_read.wait, 10)
    packing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await packing
    assert len(arena.held()) == 1
    region.may_go_on.set()
    await eventually(lambda: not arena.held())
