from __future__ import annotations

import msgpack
import pytest

from shoal.core.errors import InternalError
from shoal.core.tensors import (
    INLINE,
    Inline,
    Tensor,
    TensorHeader,
    header_from_wire,
    pack_inline,
    reference_from_wire,
    resolve,
)

X = Tensor("x", "INT8", (3,), b"abc")
EMPTY = Tensor("empty", "FP32", (0, 4), b"")
Y = Tensor("y", "BYTES", (1,), memoryview(b"\1\0\0\0z"))


def test_tensors_are_laid_out_one_after_another() -> None:
    headers, buffers = pack_inline((X, EMPTY, Y))
    assert headers == (
        TensorHeader("x", "INT8", (3,), Inline(INLINE, 0, 3)),
        TensorHeader("empty", "FP32", (0, 4), Inline(INLINE, 3, 0)),
        TensorHeader("y", "BYTES", (1,), Inline(INLINE, 3, 5)),
    )
    assert buffers == [b"abc", b"", b"\1\0\0\0z"]


def test_packing_copies_nothing() -> None:
    _, buffers = pack_inline([X, Y])
    assert buffers[0] is X.data
    assert buffers[1] is Y.data


def test_a_tensor_is_found_again_in_the_payload_without_a_copy() -> None:
    headers, buffers = pack_inline([X, EMPTY, Y])
    payload = memoryview(b"".join(buffers))
    found = [resolve(header, payload) for header in headers]
    assert found == [X, EMPTY, Y]
    assert all(isinstance(tensor.data, memoryview) and tensor.data.obj is payload.obj for tensor in found)


def test_headers_survive_the_wire() -> None:
    (header,), _ = pack_inline([X])
    read = header_from_wire(msgpack.unpackb(msgpack.packb(header), use_list=False))
    assert read == header
    assert isinstance(read.ref, Inline)


def test_references_of_unknown_kind_are_refused() -> None:
    with pytest.raises(InternalError, match="tensor reference of unknown kind 9; are all processes of one release"):
        reference_from_wire((9, 0, 3))
