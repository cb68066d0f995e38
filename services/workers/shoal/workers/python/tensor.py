"""`Tensor`: a named array as models see it, over the wire form in which it came or will leave."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.core.datatypes import NUMPY
from shoal.core.errors import InvalidArgument
from shoal.core.tensors import Tensor as WireTensor
from shoal.memory import INLINE_LIMIT_NBYTES, dlpack
from shoal.workers.python.dtypes import TRITON_NUMBER, datatype_of, decode_elements, encode_elements
from shoal.workers.python.error import TritonModelException
from shoal.workers.python.loan import Loan

_HOST_DEVICES = (dlpack.CPU, dlpack.CUDA_HOST)


class Tensor:
    """An input or output. Always in host memory.

    Made by a model from an array, which is referenced, not copied: its content counts when `execute` returns. The array
    of an input is made when it is asked for first; a model may keep both for as long as it likes.
    """

    __slots__ = ("_array", "_data", "_datatype", "_name", "_shape")

    _name: str
    _datatype: str
    _shape: tuple[int, ...]
    _array: npt.NDArray[Any] | None
    _data: memoryview | bytes | Loan

    def __init__(self, name: str, numpy_array: npt.NDArray[Any]) -> None:
        """`numpy_array`: bool, an integer or float of up to 64 bits, or objects or fixed-size bytes for BYTES.

        Raises TritonModelException for an empty name or another dtype, TypeError for what is no array.
        """
        if not name:
            raise TritonModelException("Tensor name cannot be an empty string.")
        if not isinstance(numpy_array, np.ndarray):
            raise TypeError(f"tensor '{name}': expected a numpy.ndarray, got {type(numpy_array)}; use numpy.asarray")
        datatype = datatype_of(numpy_array.dtype)
        if datatype is None:
            raise TritonModelException(
                f"tensor '{name}': dtype {numpy_array.dtype} is not supported; expected bool, an integer or float of "
                "up to 64 bits, or numpy.object_ for strings"
            )
        if not numpy_array.dtype.isnative:
            numpy_array = numpy_array.astype(numpy_array.dtype.newbyteorder("="))
        self._name = name
        self._datatype = datatype
        self._shape = numpy_array.shape
        self._array = numpy_array
        self._data = b""

    def name(self) -> str:
        return self._name

    def shape(self) -> list[int]:
        return list(self._shape)

    def triton_dtype(self) -> int:
        """The number of `TRITONSERVER_DataType`."""
        return TRITON_NUMBER[self._datatype]

    def is_cpu(self) -> bool:
        return True

    def as_numpy(self) -> npt.NDArray[Any]:
        """The tensor as an array, the same one at each call; BYTES as objects of type `bytes`.

        The array can always be written to, as Triton's can, and nobody else sees that: it is a copy, of large tensors
        one that is made page by page as it is written to. Raises TritonModelException for BF16, which numpy does not
        have.
        """
        array = self._array
        if array is None:
            array = self._array = _decode(self._datatype, self._shape, self._data)
            self._data = b""
        return array

    def to_dlpack(self) -> Any:  # a capsule, whose type has no name before Python 3.13
        """A DLPack capsule that shares the array's memory (BF16: has a copy). Strings have none."""
        if self._datatype == "BYTES":
            raise TritonModelException("DLPack does not have support for string tensors.")
        if self._datatype == "BF16":
            return dlpack.bf16_capsule(_own(self._data), self._shape)
        return np.ascontiguousarray(self.as_numpy()).reshape(self._shape).__dlpack__()

    def __dlpack__(self, *, stream: None = None) -> Any:
        return self.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CPU, 0

    @staticmethod
    def from_dlpack(name: str, tensor: object) -> Tensor:
        """A tensor over a DLPack capsule, or over an object that gives one (`__dlpack__`), as torch's tensors do.

        It must be contiguous, row major and in host memory. Shares the memory; BF16 is copied.
        """
        if not name:
            raise TritonModelException("Tensor name cannot be an empty string.")
        capsule = _capsule(tensor)
        try:
            found = dlpack.describe(capsule)
        except InvalidArgument as error:
            raise TritonModelException(f"tensor '{name}': {error.message}") from error
        if found.device[0] not in _HOST_DEVICES:
            raise TritonModelException(
                f"tensor '{name}' is on DLPack device {found.device}, expected host memory; copy it to the CPU first"
            )
        if not found.is_contiguous:
            raise TritonModelException(
                "DLPack tensor is not contiguous. Only contiguous DLPack tensors that are stored in C-Order are "
                "supported."
            )
        if found.is_bf16:
            return from_wire(WireTensor(name, "BF16", found.shape, dlpack.copy_bytes(found)), found.shape)
        return Tensor(name, np.from_dlpack(_Capsule(capsule)))


class _Capsule:
    """A capsule in the form that `numpy.from_dlpack` wants."""

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: object) -> Any:  # a capsule has no type to name
        return self._capsule

    def __dlpack_device__(self) -> Any:  # numpy's stub wants enumerations of its own
        return dlpack.CPU, 0


def from_wire(tensor: WireTensor, shape: tuple[int, ...], data: Loan | None = None) -> Tensor:
    """An input with the shape that the model sees. Copies nothing; `tensor.data` must outlive the result's use, unless
    it is lent as `data`."""
    made = Tensor.__new__(Tensor)
    made._name = tensor.name
    made._datatype = tensor.datatype
    made._shape = shape
    made._array = None
    made._data = tensor.data if data is None else data
    return made


def to_wire(tensor: Tensor, loans_may_end: bool = False) -> WireTensor:
    """The tensor's content now. Data over INLINE_LIMIT_NBYTES may be a view, to be copied before the model, which may
    write to its arrays, or anybody else goes on. `loans_may_end`: the execution may end meanwhile."""
    array = tensor._array
    if array is None:
        data = tensor._data
        if isinstance(data, Loan):
            content = data.copy() if loans_may_end else data.data
            return WireTensor(tensor._name, tensor._datatype, tensor._shape, content)
        return WireTensor(tensor._name, tensor._datatype, tensor._shape, bytes(data))
    return WireTensor(tensor._name, tensor._datatype, array.shape, _encode(tensor._datatype, array))


def _encode(datatype: str, array: npt.NDArray[Any]) -> memoryview | bytes:
    if datatype == "BYTES":
        return encode_elements(array)
    if array.nbytes <= INLINE_LIMIT_NBYTES or type(array) is not np.ndarray:
        return array.tobytes()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _decode(datatype: str, shape: tuple[int, ...], data: memoryview | bytes | Loan) -> npt.NDArray[Any]:
    if datatype == "BYTES":
        return decode_elements(_own(data)).reshape(shape)
    if datatype == "BF16":
        raise TritonModelException(
            "Tensor dtype is BF16 and cannot be converted to NumPy. Use to_dlpack() and from_dlpack() instead."
        )
    if isinstance(data, Loan):
        return data.array().view(NUMPY[datatype]).reshape(shape)
    array = np.frombuffer(data, NUMPY[datatype]).reshape(shape)
    return array if array.flags.behaved else array.copy()


def _own(data: memoryview | bytes | Loan) -> memoryview | bytes:
    """Bytes that stay for as long as they are referenced."""
    return data.copy() if isinstance(data, Loan) else data


def _capsule(tensor: object) -> object:
    if dlpack.is_capsule(tensor):
        return tensor
    if hasattr(tensor, "__dlpack__"):
        return tensor.__dlpack__()
    raise TritonModelException(
        f"Provided tensor is not supported. Tensor must be a DLPack capsule or have a `__dlpack__` attribute, got "
        f"{type(tensor)}"
    )
