"""The RPCs of the shared-memory extensions, and `ModelInfer` with regions, on top of a gateway in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from client_files import ClientFile
from shoal.core.errors import AlreadyExists, InternalError, InvalidArgument, NotFound
from shoal.gateway.grpc.convert import InferMessage
from shoal.gateway.grpc.infer_rpcs import infer_rpcs
from shoal.gateway.grpc.region_rpcs import region_rpcs
from shoal.gateway.grpc.rpc import INFERENCE, CallContext
from shoal.gateway.grpc.schema import service_pb2

if TYPE_CHECKING:
    from tests.unit.gateway.grpc.conftest import GatewayDouble


@pytest.fixture
def file() -> Iterator[ClientFile]:
    made = ClientFile("test-region-rpcs", bytes(range(64)))
    yield made
    made.remove()


async def ask(gateway: GatewayDouble, method: str, **fields: Any) -> Any:
    request = getattr(service_pb2, method + "Request")(**fields)
    return await region_rpcs(gateway)[INFERENCE + method].handle(request, CallContext())


async def test_a_region_is_registered_listed_and_unregistered(gateway: GatewayDouble, file: ClientFile) -> None:
    await ask(gateway, "SystemSharedMemoryRegister", name="r", key=file.key, offset=8, byte_size=16)
    for name in ("", "r"):
        regions = (await ask(gateway, "SystemSharedMemoryStatus", name=name)).regions
        assert {key: (row.name, row.key, row.offset, row.byte_size) for key, row in regions.items()} == {
            "r": ("r", file.key, 8, 16)
        }
    with pytest.raises(AlreadyExists):
        await ask(gateway, "SystemSharedMemoryRegister", name="r", key=file.key, byte_size=16)
    await ask(gateway, "SystemSharedMemoryUnregister", name="r")
    assert not (await ask(gateway, "SystemSharedMemoryStatus")).regions
    with pytest.raises(NotFound):
        await ask(gateway, "SystemSharedMemoryStatus", name="r")


async def test_device_memory_has_a_handle_of_64_bytes(gateway: GatewayDouble) -> None:
    with pytest.raises(InvalidArgument, match="failed to register shared memory region: invalid args"):
        await ask(gateway, "CudaSharedMemoryRegister", name="c", raw_handle=b"x", byte_size=16)
    with pytest.raises(InvalidArgument, match="failed to register CUDA shared memory region: 'c', GPUs not supported"):
        await ask(gateway, "CudaSharedMemoryRegister", name="c", raw_handle=bytes(64), byte_size=16)
    assert not (await ask(gateway, "CudaSharedMemoryStatus")).regions
    await ask(gateway, "CudaSharedMemoryUnregister", name="c")


def infer_message(nbytes: int) -> InferMessage:
    """An input from the region's start, and the output of the same name to so many bytes at 32."""
    request = service_pb2.ModelInferRequest(model_name="m")
    for tensor, offset, size in (
        (request.inputs.add(name="INPUT0", datatype="FP32", shape=[2]), 0, 8),
        (request.outputs.add(name="INPUT0"), 32, nbytes),
    ):
        tensor.parameters["shared_memory_region"].string_param = "r"
        tensor.parameters["shared_memory_offset"].int64_param = offset
        tensor.parameters["shared_memory_byte_size"].int64_param = size
    return InferMessage(request, [])


async def test_an_output_in_a_region_is_written_there_and_empty(gateway: GatewayDouble, file: ClientFile) -> None:
    await ask(gateway, "SystemSharedMemoryRegister", name="r", key=file.key, byte_size=64)
    answer = await infer_rpcs(gateway)[INFERENCE + "ModelInfer"].handle(infer_message(12), CallContext())
    assert [(tensor.name, tensor.shape, tensor.data) for tensor in answer.outputs] == [("INPUT0", (2,), b"")]
    assert file.read(32, 12) == bytes(range(8)) + bytes(range(40, 44))


async def test_an_output_that_does_not_fit_is_an_error(gateway: GatewayDouble, file: ClientFile) -> None:
    await ask(gateway, "SystemSharedMemoryRegister", name="r", key=file.key, byte_size=64)
    with pytest.raises(InternalError, match=r"for output 'INPUT0' \(7 bytes\) should be at least 8 bytes"):
        await infer_rpcs(gateway)[INFERENCE + "ModelInfer"].handle(infer_message(7), CallContext())


async def test_an_unknown_region_is_not_found(gateway: GatewayDouble) -> None:
    with pytest.raises(NotFound, match="Unable to find shared memory region: 'r'"):
        await infer_rpcs(gateway)[INFERENCE + "ModelInfer"].handle(infer_message(8), CallContext())
