from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from shoal.core.errors import InvalidArgument
from shoal.memory.dlpack import CPU, Description, bf16_capsule, copy_bytes, describe, is_capsule

MEGABYTE = 1 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

#: Offset of `deleter` in DLManagedTensor: a tensor of 48 bytes and the context come before it.
DELETER_OFFSET = 56


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def consume(capsule: object) -> None:
    """What a framework does with a capsule: rename it, and call the deleter when its own tensor goes."""
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
    managed = pointer(capsule, b"dltensor")
    rename(capsule, USED_NAME)
    deleter = ctypes.c_void_p.from_address(managed + DELETER_OFFSET).value
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(deleter or 0)(managed)


USED_NAME = b"used_dltensor"


def test_description_of_a_numpy_capsule() -> None:
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    capsule = array.__dlpack__()
    found = describe(capsule)
    assert is_capsule(capsule)
    assert found == Description((CPU, 0), False, (2, 3), True, 12, array.ctypes.data)
    assert copy_bytes(found) == array.tobytes()


def test_description_of_a_capsule_of_the_versioned_kind() -> None:
    array = np.arange(6, dtype=np.int16)
    versioned = array.__dlpack__(max_version=(1, 0))
    assert copy_bytes(describe(versioned)) == array.tobytes()


@pytest.mark.parametrize(
    ("array", "is_contiguous"),
    [
        (np.zeros((2, 3), np.int8), True),
        (np.zeros((2, 3), np.int8).T, False),
        (np.zeros((1, 3), np.int8).T, True),
        (np.zeros((4, 4), np.int8)[:, :2], False),
        (np.zeros((0, 3), np.int8).T, True),
        (np.zeros((), np.int8), True),
    ],
)
def test_contiguous_means_row_major_without_gaps(
    array: np.ndarray[tuple[int, ...], np.dtype[np.int8]], is_contiguous: bool
) -> None:
    assert describe(array.__dlpack__()).is_contiguous is is_contiguous


def test_bf16_capsule_describes_itself() -> None:
    capsule = bf16_capsule(b"\x80\x3f\x00\x40", (2, 1))
    found = describe(capsule)
    assert found[:5] == ((CPU, 0), True, (2, 1), True, 4)
    assert copy_bytes(found) == b"\x80\x3f\x00\x40"


def test_a_capsule_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="used before, or is no DLPack capsule"):
        describe(object())


def test_a_used_capsule_is_refused() -> None:
    capsule = bf16_capsule(b"\x80\x3f", (1,))
    consume(capsule)
    with pytest.raises(InvalidArgument, match="used before"):
        describe(capsule)


@pytest.mark.parametrize("is_consumed", [True, False])
def test_exported_memory_is_given_back(is_consumed: bool) -> None:
    data = bytes(4 * MEGABYTE)
    before = resident_bytes()
    for _ in range(32):
        capsule = bf16_capsule(data, (len(data) // 2,))
        if is_consumed:
            consume(capsule)
        del capsule
    assert resident_bytes() - before < 32 * MEGABYTE
