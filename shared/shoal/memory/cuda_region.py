"""Device memory of a client, opened by the IPC handle that the client made of it.

Needs a GPU and NVIDIA's `cuda-python`; both are looked for when a region is opened, and not before. A process has a
context on a device, which takes a good part of a second to make, for as long as it has a region there.
"""

from __future__ import annotations

import ctypes
import weakref
from importlib import import_module
from typing import Any

import numpy as np

from shoal.core.errors import InternalError, InvalidArgument

#: The size of a `cudaIpcMemHandle_t`.
HANDLE_NBYTES = 64
#: What a device's number fits into.
_DEVICE_LIMIT = 2**31


class CudaRegion:
    """The first `nbytes` bytes of a client's device memory.

    Whoever uses the region refers to it; the handle is closed with the last reference. Every method may be called from
    any thread, and blocks for the copy between device and host.
    """

    __slots__ = ("__weakref__", "_context", "_driver", "_pointer", "name", "nbytes")

    # The driver's module has no types: `Any` for it, and for what it gives.
    def __init__(self, driver: Any, device: Any, handle: Any, name: str, nbytes: int) -> None:
        """To be used by `open`. Raises _Failed."""
        self.name = name
        self.nbytes = nbytes
        self._driver = driver
        self._context = _done(driver.cuDevicePrimaryCtxRetain(device))
        weakref.finalize(self, driver.cuDevicePrimaryCtxRelease, device)
        _done(driver.cuCtxSetCurrent(self._context))
        flags = driver.CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS.value
        self._pointer = _done(driver.cuIpcOpenMemHandle(handle, flags))
        # The last one goes first.
        weakref.finalize(self, _close, driver, self._context, self._pointer)

    @classmethod
    def open(cls, name: str, handle: bytes, device_id: int, nbytes: int) -> CudaRegion:
        """Open the memory with this handle of 64 bytes on a device.

        Raises InvalidArgument where no GPU can be used, for a device that is none, a handle that cannot be opened, and
        for a size that is 0 or more than the memory has.
        """
        driver = _loaded_driver()
        if driver is None:
            raise InvalidArgument(f"failed to register CUDA shared memory region: '{name}', GPUs not supported")
        if not 0 <= device_id < _DEVICE_LIMIT:
            raise InvalidArgument(f"failed to register shared memory region '{name}': invalid args: device {device_id}")
        opened = driver.CUipcMemHandle()
        ctypes.memmove(opened.getPtr(), handle, HANDLE_NBYTES)
        try:
            region = cls(driver, _done(driver.cuDeviceGet(device_id)), opened, name, nbytes)
            _, size = _done(driver.cuMemGetAddressRange(region._pointer))
        except _Failed as failed:
            raise InvalidArgument(
                f"failed to register shared memory region '{name}': invalid args: device {device_id}: {failed}"
            ) from failed
        if not 0 < nbytes <= size:
            raise InvalidArgument(
                f"failed to register shared memory region '{name}': invalid args: {nbytes} bytes of device memory "
                f"that has {size}"
            )
        return region

    def read_into(self, memory: memoryview, offset: int) -> None:
        """Fill `memory` (writable bytes) from `offset` of the region. Raises InternalError when the driver cannot."""
        self._copy(self._driver.cuMemcpyDtoH, (_address(memory), self._at(offset)), len(memory))

    def write(self, data: memoryview | bytes, offset: int) -> None:
        """Write `data` at `offset` of the region. Raises InternalError when the driver cannot."""
        self._copy(self._driver.cuMemcpyHtoD, (self._at(offset), _address(data)), len(data))

    def _at(self, offset: int) -> int:
        return int(self._pointer) + offset

    def _copy(self, copy: Any, addresses: tuple[int, int], nbytes: int) -> None:
        try:
            _done(self._driver.cuCtxSetCurrent(self._context))
            _done(copy(*addresses, nbytes))
        except _Failed as failed:
            raise InternalError(f"shared memory region '{self.name}' cannot be copied: {failed}") from failed


class _Failed(Exception):
    """A call of the driver failed; the text is its name for that."""


def _loaded_driver() -> Any:
    """The driver's module, ready for use; None where there is no GPU."""
    try:
        driver = import_module("cuda.bindings.driver")
        _done(driver.cuInit(0))
        return driver if _done(driver.cuDeviceGetCount()) else None
    except (ImportError, OSError, RuntimeError, _Failed):
        # Without the package, without the driver's library, without a device: the first that is missing tells.
        return None


def _done(result: tuple[Any, ...]) -> Any:
    """What a call gave besides its error code: nothing, a value or several. Raises _Failed when it failed."""
    error, *values = result
    if error:
        raise _Failed(error.name)
    return values[0] if len(values) == 1 else tuple(values)


def _address(data: memoryview | bytes) -> int:
    return int(np.frombuffer(data, np.uint8).ctypes.data)


def _close(driver: Any, context: Any, pointer: Any) -> None:
    driver.cuCtxSetCurrent(context)
    driver.cuIpcCloseMemHandle(pointer)
