"""Tensors of a request whose bytes came in several pieces, or lie in a client's region: not put together before they
are copied where they go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from shoal.core.tensors import Tensor
from shoal.gateway.region_part import RegionPart


class Pieces:
    """Bytes in pieces, one after the other; `len` is how many bytes. The pieces are kept alive, nothing is copied."""

    __slots__ = ("_nbytes", "views")

    def __init__(self, views: Sequence[memoryview]) -> None:
        self.views = views
        self._nbytes = sum(map(len, views))

    def __len__(self) -> int:
        return self._nbytes


class PieceReader:
    """Takes bytes that came in pieces (one at least) from the front, without copying any. `left`: how many are left."""

    __slots__ = ("_front", "_rest", "left")

    def __init__(self, pieces: Sequence[memoryview | bytes]) -> None:
        self._front = memoryview(pieces[0])
        self._rest: list[memoryview | bytes] = []
        self.left = len(pieces[0])
        if len(pieces) > 1:
            self._rest.extend(reversed(pieces[1:]))
            self.left += sum(map(len, self._rest))

    def take(self, nbytes: int) -> memoryview | Pieces:
        """The next bytes, at most as many as are `left`: one view where they lie in one piece."""
        self.left -= nbytes
        front = self._front
        if nbytes <= len(front):
            self._front = front[nbytes:]
            return front[:nbytes]
        return gathered(self._take_views(nbytes))

    def _take_views(self, nbytes: int) -> list[memoryview]:
        taken: list[memoryview] = []
        while nbytes > len(self._front):
            if self._front:
                taken.append(self._front)
                nbytes -= len(self._front)
            self._front = memoryview(self._rest.pop())
        taken.append(self._front[:nbytes])
        self._front = self._front[nbytes:]
        return taken


class ScatteredTensor(NamedTuple):
    """A `Tensor` whose bytes are in pieces."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Pieces


class RegionTensor(NamedTuple):
    """A `Tensor` whose bytes lie in a client's region, and may change there until they are read."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: RegionPart


#: One input of a request as it came.
Input = Tensor | ScatteredTensor | RegionTensor


def contiguous(tensor: Input) -> Tensor:
    """The tensor in one piece: a copy if it is scattered or lies in a region (and then raises as
    `Region.read_into`)."""
    if isinstance(tensor, Tensor):
        return tensor
    name, datatype, shape, data = tensor
    return Tensor(name, datatype, shape, data.read() if isinstance(data, RegionPart) else joined(data))


def joined(data: memoryview | bytes | Pieces) -> memoryview | bytes:
    """The bytes in one piece: a copy if they are in several."""
    return b"".join(data.views) if isinstance(data, Pieces) else data


def gathered(views: Sequence[memoryview]) -> memoryview | Pieces:
    """The bytes of these views, one at least, as `Pieces` only where there are several."""
    return Pieces(views) if len(views) > 1 else views[0]


def views_of(data: memoryview | bytes | Pieces) -> Sequence[memoryview | bytes]:
    """The bytes as buffers, one after the other."""
    return data.views if isinstance(data, Pieces) else (data,)


def tensor_of(name: str, datatype: str, shape: tuple[int, ...], data: memoryview | bytes | Pieces) -> Input:
    """The tensor with these bytes, scattered as they are."""
    if isinstance(data, Pieces):
        return ScatteredTensor(name, datatype, shape, data)
    return Tensor(name, datatype, shape, data)
