"""A registered client region as all gateways know it: the value of its key in their shared state."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgpack

from shoal.core.errors import InternalError

_SCHEMA = 1


class Kind(Enum):
    """Which of Triton's two extensions a region belongs to, as its texts name it."""

    SYSTEM = "system"
    CUDA = "CUDA"


class RegionEntry(NamedTuple):
    """What was registered. `host` is the host of the gateway that was asked (see `shoal.memory.host_id`).

    A system region has the `key`, the `offset` and the `file` (device and inode) of the client's shared-memory object;
    a CUDA region the `device_id` and the 64 bytes of the `handle` of the client's device memory.
    """

    name: str
    kind: Kind
    nbytes: int
    host: str
    key: str = ""
    offset: int = 0
    file: tuple[int, int] = (0, 0)
    device_id: int = 0
    handle: bytes = b""


def encode(entry: RegionEntry) -> bytes:
    packed: bytes = msgpack.packb((_SCHEMA, *entry._replace(kind=entry.kind.value)))  # type: ignore[arg-type]
    return packed


def decode(data: bytes) -> RegionEntry:
    """Raises InternalError for an entry of another release."""
    schema, *fields = msgpack.unpackb(data, use_list=False)
    if schema != _SCHEMA:
        raise InternalError(f"region entry of schema {schema}, expected {_SCHEMA}; are all processes of one release?")
    entry = RegionEntry._make(fields)
    return entry._replace(kind=Kind(entry.kind))
