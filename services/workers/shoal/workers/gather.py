"""From the tensors of several requests to one array per input. Pure numpy; copies each byte once, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shoal.core.datatypes import BYTE_SIZE, NUMPY, decode_bytes, element_count, shape_text
from shoal.core.errors import InternalError, InvalidArgument, ShoalError
from shoal.core.model_config import ModelConfig
from shoal.core.tensors import Tensor
from shoal.workers.backend import Request
from shoal.workers.reshape import reshaped

#: What every runtime accepts without a copy of its own, and one (TensorFlow) insists on.
ALIGNMENT_BYTES = 64

#: What numpy's own allocations are aligned to on 64-bit machines.
_NUMPY_ALIGNMENT_BYTES = 16

Array = npt.NDArray[np.generic]


class Gathered(NamedTuple):
    """The inputs of one execution: `arrays` by input name, made of `live` requests in their order; `errors` by position
    in the batch, of those that had to be left out."""

    arrays: dict[str, Array]
    live: list[Request]
    errors: dict[int, ShoalError]


class Gatherer:
    """Builds the batches of one model version. `as_text`: BYTES elements become `str` for frameworks that take nothing
    else; `alignment` is in bytes, 1 for that of the elements."""

    def __init__(self, config: ModelConfig, alignment: int = ALIGNMENT_BYTES, as_text: bool = False) -> None:
        self._model = config.name
        self._fields = {field.name: field for field in config.inputs}
        self._is_batched = config.max_batch_size > 0
        self._alignment = alignment
        self._as_text = as_text

    def gather(self, requests: Sequence[Request]) -> Gathered:
        """One array per input of the first request: the requests' tensors along the batch axis (see `join` for lifetime
        and alignment), reshaped as the configuration says.

        A request whose data cannot be read is left out alone. Raises InternalError naming the input when requests do
        not have the same inputs, with the same shapes behind the batch dimension.
        """
        errors: dict[int, ShoalError] = {}
        live: list[Request] = []
        rows: list[dict[str, Tensor | Array]] = []
        for position, request in enumerate(requests):
            try:
                rows.append({tensor.name: self._readable(tensor) for tensor in request.inputs})
                live.append(request)
            except ShoalError as error:
                errors[position] = error
        names = rows[0] if rows else ()
        return Gathered({name: self._column(name, rows) for name in names}, live, errors)

    def _readable(self, tensor: Tensor) -> Tensor | Array:
        """The tensor itself if its data fits its shape; for BYTES an array of its elements."""
        if tensor.datatype != "BYTES":
            check_size(tensor)
            return tensor
        array = bytes_array(tensor)
        return self._decoded(tensor.name, array) if self._as_text else array

    def _column(self, name: str, rows: Sequence[dict[str, Tensor | Array]]) -> Array:
        try:
            cells = [row[name] for row in rows]
        except KeyError:
            raise InternalError(f"input '{name}' is missing in some requests of a batch") from None
        for cell in cells:
            if cell.shape[1:] != cells[0].shape[1:]:
                raise InternalError(
                    f"input '{name}' has shapes {shape_text(cells[0].shape)} and {shape_text(cell.shape)} in one "
                    "batch; they may differ in the first dimension only"
                )
        tensors = [cell for cell in cells if isinstance(cell, Tensor)]
        if tensors:
            return self._reshaped(name, join(tensors, self._alignment))
        arrays = [cell for cell in cells if not isinstance(cell, Tensor)]
        return self._reshaped(name, arrays[0] if len(arrays) == 1 else np.concatenate(arrays))

    def _reshaped(self, name: str, array: Array) -> Array:
        field = self._fields.get(name)
        if field is None or field.reshape is None:
            return array
        shape = reshaped(array.shape, field.dims, field.reshape, has_batch=self._is_batched)
        if shape is None:
            expected = shape_text((-1, *field.dims) if self._is_batched else field.dims)
            raise InvalidArgument(
                f"model '{self._model}', input '{name}': got shape {shape_text(array.shape)}, expected {expected}, "
                f"which the configuration reshapes to {shape_text(field.reshape)}"
            )
        return array.reshape(shape)

    def _decoded(self, name: str, array: Array) -> Array:
        text = np.empty(array.size, dtype=object)
        elements: list[bytes] = array.ravel().tolist()
        try:
            text[:] = [element.decode() for element in elements]
        except UnicodeDecodeError as error:
            raise InvalidArgument(
                f"input '{name}' of model '{self._model}' has an element that is not UTF-8 ({error.reason} at byte "
                f"{error.start}); this model takes text only"
            ) from None
        return text.reshape(array.shape)


def check_size(tensor: Tensor) -> None:
    """Raises InvalidArgument naming the tensor when its data is not what its datatype and shape take."""
    expected = element_count(tensor.shape) * BYTE_SIZE[tensor.datatype]
    if len(tensor.data) != expected:
        raise InvalidArgument(
            f"input '{tensor.name}' of datatype {tensor.datatype} and shape {shape_text(tensor.shape)} has "
            f"{len(tensor.data)} bytes, expected {expected}"
        )


def bytes_array(tensor: Tensor) -> Array:
    """The elements of a BYTES tensor as a new array of `bytes` objects. Raises InvalidArgument naming the tensor when
    there are not as many as its shape takes."""
    elements = list(decode_bytes(tensor.data))
    if len(elements) != element_count(tensor.shape):
        raise InvalidArgument(
            f"expected {element_count(tensor.shape)} string elements for input '{tensor.name}' of shape "
            f"{shape_text(tensor.shape)}, got {len(elements)}"
        )
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(tensor.shape)


def join(tensors: Sequence[Tensor], alignment: int = ALIGNMENT_BYTES) -> Array:
    """Tensors of one fixed-size datatype (BF16 as uint16) along the first axis, in the order given.

    Each has shape `[b_i, *dims]` with the same `dims`; the result has shape `[sum(b_i), *dims]`, is C-contiguous and
    starts at a multiple of `alignment` bytes. A single tensor may have any rank, and becomes a read-only view of its
    own data, valid as long as that is, if it is aligned already. Sizes were checked before (`check_size`). Blocks for
    the copy.
    """
    first = tensors[0]
    dtype = NUMPY[first.datatype]
    if len(tensors) == 1:
        view = np.frombuffer(first.data, dtype)
        if _is_aligned(view, alignment):
            return view.reshape(first.shape)
        shape = first.shape
    else:
        shape = (sum([tensor.shape[0] for tensor in tensors]), *first.shape[1:])
    memory = aligned_bytes(sum([len(tensor.data) for tensor in tensors]), alignment)
    target, offset = memory.data, 0
    for tensor in tensors:
        end = offset + len(tensor.data)
        target[offset:end] = tensor.data
        offset = end
    return memory.view(dtype).reshape(shape)


def aligned_bytes(nbytes: int, alignment: int = ALIGNMENT_BYTES) -> npt.NDArray[np.uint8]:
    """Uninitialised memory that starts at a multiple of `alignment` bytes."""
    if alignment <= _NUMPY_ALIGNMENT_BYTES:
        return np.empty(nbytes, np.uint8)
    raw = np.empty(nbytes + alignment, np.uint8)
    start = -_address(raw) % alignment
    return raw[start : start + nbytes]


def _is_aligned(array: npt.NDArray[Any], alignment: int) -> bool:
    # The flag is twenty times faster to read than the address.
    return array.flags.aligned if alignment <= array.itemsize else _address(array) % alignment == 0


def _address(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
