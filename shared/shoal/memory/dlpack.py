"""DLPack capsules of tensors in host memory, at the level of DLPack's C structures.

numpy reads and writes capsules of its own dtypes; it has no bfloat16, and a capsule is a C structure. This module is
there for the rest: it describes any capsule, copies out its bytes, and makes capsules of BF16 tensors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from shoal.core.errors import InvalidArgument

CPU = 1
CUDA_HOST = 3

#: DLPack's type code of bfloat16 (kDLBfloat).
_BFLOAT = 4

_NAME = b"dltensor"
_VERSIONED_NAME = b"dltensor_versioned"


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("id", ctypes.c_int32))


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


#: Bytes before the tensor in DLManagedTensorVersioned: version, context, deleter and flags, 8 bytes each.
_VERSIONED_PREFIX_BYTES = 32

_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
# The destructor gets a capsule without references: as a plain address, so that none is taken and given back.
_dying_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_dying_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Description(NamedTuple):
    """A capsule's tensor. `address` is of its first element and valid while the capsule is referenced and unused."""

    device: tuple[int, int]
    is_bf16: bool
    shape: tuple[int, ...]
    is_contiguous: bool
    nbytes: int
    address: int


def is_capsule(candidate: object) -> bool:
    return type(candidate).__name__ == "PyCapsule"


def describe(capsule: object) -> Description:
    """What an unused capsule holds; the capsule stays unused. Raises InvalidArgument for any other."""
    if _is_valid(capsule, _NAME):
        address = _pointer(capsule, _NAME)
    elif _is_valid(capsule, _VERSIONED_NAME):
        address = _pointer(capsule, _VERSIONED_NAME) + _VERSIONED_PREFIX_BYTES
    else:
        raise InvalidArgument("the DLPack capsule holds no tensor: it was used before, or is no DLPack capsule")
    tensor = _Tensor.from_address(address)
    shape = tuple(tensor.shape[: tensor.ndim])
    dtype = tensor.dtype
    item_nbytes = (dtype.bits * dtype.lanes + 7) // 8
    count = 1
    for size in shape:
        count *= size
    return Description(
        device=(tensor.device.type, tensor.device.id),
        is_bf16=(dtype.code, dtype.bits, dtype.lanes) == (_BFLOAT, 16, 1),
        shape=shape,
        is_contiguous=not tensor.strides or _is_row_major(shape, tensor.strides[: tensor.ndim]),
        nbytes=count * item_nbytes,
        address=(tensor.data or 0) + tensor.byte_offset,
    )


def copy_bytes(description: Description) -> bytes:
    """The tensor's bytes. The caller holds the capsule and has checked that it is contiguous and in host memory."""
    return ctypes.string_at(description.address, description.nbytes) if description.nbytes else b""


def _is_row_major(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Strides count elements; those of dimensions of size 1 say nothing, and an empty tensor has no layout."""
    if 0 in shape:
        return True
    layout = [(size, stride) for size, stride in zip(shape, strides, strict=True) if size != 1]
    return not layout or (
        layout[-1][1] == 1 and all(outer[1] == inner[0] * inner[1] for outer, inner in pairwise(layout))
    )


#: Exported tensors by the address of their C structure, alive until their consumer, or the unused capsule, is gone.
_exported: dict[int, tuple[object, ...]] = {}


def _forget(managed: int) -> None:
    _exported.pop(managed, None)


def _forget_unused(capsule: int) -> None:
    if _dying_is_valid(capsule, _NAME):
        _exported.pop(_dying_pointer(capsule, _NAME), None)


_release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_forget)
_release_unused = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_forget_unused)


def bf16_capsule(data: memoryview | bytes, shape: Sequence[int]) -> object:
    """A capsule of a BF16 tensor in host memory: a copy of `data`, which is in wire form, of shape `shape`."""
    memory = (ctypes.c_char * len(data)).from_buffer_copy(data)
    dimensions = (ctypes.c_int64 * len(shape))(*shape)
    managed = _Managed(
        tensor=_Tensor(
            data=ctypes.addressof(memory),
            device=_Device(CPU, 0),
            ndim=len(shape),
            dtype=_DataType(_BFLOAT, 16, 1),
            shape=dimensions,
        ),
        deleter=ctypes.cast(_release, ctypes.c_void_p),
    )
    address = ctypes.addressof(managed)
    _exported[address] = (managed, memory, dimensions)
    return _new(address, _NAME, ctypes.cast(_release_unused, ctypes.c_void_p))
