from __future__ import annotations

from collections.abc import Iterator

import pytest

from cuda_driver import CudaDriver, installed_driver
from shoal.core.errors import InternalError, InvalidArgument
from shoal.memory.cuda_region import CudaRegion

HANDLE = bytes(range(64))


@pytest.fixture
def memory() -> bytearray:
    return bytearray(range(100))


@pytest.fixture
def driver(memory: bytearray, monkeypatch: pytest.MonkeyPatch) -> Iterator[CudaDriver]:
    driver = CudaDriver({bytes(64): bytearray(5), HANDLE: memory})
    with installed_driver(monkeypatch, driver):
        yield driver


def test_bytes_are_copied_from_and_to_the_device(driver: CudaDriver, memory: bytearray) -> None:
    region = CudaRegion.open("c", HANDLE, 0, 100)
    content = memoryview(bytearray(4))
    region.read_into(content, 20)
    region.write(b"abc", 97)
    assert bytes(content) == bytes([20, 21, 22, 23])
    assert memory[96:] == b"\x60abc"


def test_the_handle_is_closed_before_the_context_with_the_last_reference(driver: CudaDriver) -> None:
    region = CudaRegion.open("c", HANDLE, 0, 100)
    in_use = region
    del region
    assert (driver.open_count, driver.contexts) == (1, 1)
    del in_use
    assert (driver.open_count, driver.contexts) == (0, 0)


@pytest.mark.parametrize(
    ("handle", "device_id", "nbytes", "why"),
    [
        (b"x" * 64, 0, 1, "CUDA_ERROR_INVALID_VALUE"),
        (HANDLE, 1, 1, "CUDA_ERROR_INVALID_DEVICE"),
        (HANDLE, -1, 1, "device -1"),
        (HANDLE, 2**31, 1, "device 2147483648"),
        (HANDLE, 0, 0, "0 bytes of device memory that has 100"),
        (HANDLE, 0, 101, "101 bytes of device memory that has 100"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_leaves_nothing(
    driver: CudaDriver, handle: bytes, device_id: int, nbytes: int, why: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        CudaRegion.open("c", handle, device_id, nbytes)
    assert caught.value.message.startswith("failed to register shared memory region 'c': invalid args: ")
    assert why in caught.value.message
    del caught
    assert (driver.open_count, driver.contexts) == (0, 0)


@pytest.mark.parametrize("driver_of_machine", [None, CudaDriver({}, device_count=0)])
def test_without_a_gpu_there_is_no_device_memory(
    monkeypatch: pytest.MonkeyPatch, driver_of_machine: CudaDriver | None
) -> None:
    with (
        installed_driver(monkeypatch, driver_of_machine),
        pytest.raises(InvalidArgument, match="failed to register CUDA shared memory region: 'c', GPUs not supported"),
    ):
        CudaRegion.open("c", HANDLE, 0, 1)


def test_a_copy_that_the_driver_refuses_is_an_error(driver: CudaDriver) -> None:
    region = CudaRegion.open("c", HANDLE, 0, 100)
    driver.open_count = 0
    with pytest.raises(InternalError, match="shared memory region 'c' cannot be copied: CUDA_ERROR_INVALID_VALUE"):
        region.read_into(memoryview(bytearray(1)), 0)
    driver.open_count = 1
