"""NVIDIA's driver module as far as client regions use it, with device memory in this process."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import pytest

#: Where the first memory lies, as the device counts.
_FIRST_POINTER = 0x7F0000000000
_STRIDE = 0x1000000


class _Error(IntEnum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1
    CUDA_ERROR_NO_DEVICE = 100
    CUDA_ERROR_INVALID_DEVICE = 101


_OK, _INVALID = _Error.CUDA_SUCCESS, _Error.CUDA_ERROR_INVALID_VALUE


class _Handle:
    def __init__(self) -> None:
        self.content = ctypes.create_string_buffer(64)

    def getPtr(self) -> int:  # the driver's name
        return ctypes.addressof(self.content)


class CudaDriver:
    """One device with these memories by their handles. `open_count`: how many handles are open, `contexts`: how often
    its context is held."""

    # The methods have the driver's names and give its tuples of an error code and values.
    CUipcMemHandle = _Handle
    CUipcMem_flags = SimpleNamespace(CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS=SimpleNamespace(value=1))

    def __init__(self, memories: dict[bytes, bytearray], device_count: int = 1) -> None:
        self.open_count = 0
        self.contexts = 0
        self._device_count = device_count
        self._handles = {handle: _FIRST_POINTER + index * _STRIDE for index, handle in enumerate(memories)}
        self._memories = dict(zip(self._handles.values(), memories.values(), strict=True))

    def cuInit(self, flags: int) -> tuple[_Error]:
        return (_OK if self._device_count else _Error.CUDA_ERROR_NO_DEVICE,)

    def cuDeviceGetCount(self) -> tuple[_Error, int]:
        return _OK, self._device_count

    def cuDeviceGet(self, number: int) -> tuple[_Error, int | None]:
        return (_OK, number) if number < self._device_count else (_Error.CUDA_ERROR_INVALID_DEVICE, None)

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[_Error, str]:
        self.contexts += 1
        return _OK, f"context of {device}"

    def cuDevicePrimaryCtxRelease(self, device: int) -> tuple[_Error]:
        assert self.open_count < self.contexts
        self.contexts -= 1
        return (_OK,)

    def cuCtxSetCurrent(self, context: str) -> tuple[_Error]:
        return (_OK if context.startswith("context of") else _INVALID,)

    def cuIpcOpenMemHandle(self, handle: _Handle, flags: int) -> tuple[_Error, int | None]:
        pointer = self._handles.get(handle.content.raw)
        self.open_count += pointer is not None
        return (_INVALID, None) if pointer is None else (_OK, pointer)

    def cuIpcCloseMemHandle(self, pointer: int) -> tuple[_Error]:
        self.open_count -= 1
        return (_OK,)

    def cuMemGetAddressRange(self, pointer: int) -> tuple[_Error, int, int]:
        return _OK, pointer, len(self._memories[pointer])

    def cuMemcpyDtoH(self, target: int, source: int, nbytes: int) -> tuple[_Error]:
        memory, start = self._find(source)
        if not self.open_count:
            return (_INVALID,)
        ctypes.memmove(target, bytes(memory[start : start + nbytes]), nbytes)
        return (_OK,)

    def cuMemcpyHtoD(self, target: int, source: int, nbytes: int) -> tuple[_Error]:
        memory, start = self._find(target)
        memory[start : start + nbytes] = ctypes.string_at(source, nbytes)
        return (_OK,)

    def _find(self, address: int) -> tuple[bytearray, int]:
        start = (address - _FIRST_POINTER) % _STRIDE
        return self._memories[address - start], start


@contextmanager
def installed_driver(monkeypatch: pytest.MonkeyPatch, driver: CudaDriver | None) -> Iterator[None]:
    """Have this driver imported; None: the package is not installed."""
    modules: dict[str, Any] = {"cuda": None, "cuda.bindings": None, "cuda.bindings.driver": driver}
    if driver is not None:
        modules |= {"cuda": SimpleNamespace(), "cuda.bindings": SimpleNamespace(driver=driver)}
    with monkeypatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        yield
