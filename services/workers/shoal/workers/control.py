"""What an agent and its executors say to each other over a pipe pair, and how it is framed.

A frame is a uint32 little-endian length and a MessagePack array: the message's number and its fields. The pipes work
while the broker is away, so that an executor is watched, loaded and stopped all the same. Requests never travel here.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import msgpack

from shoal.core.errors import InternalError

#: Exit code of an executor that could not join the broker, or was cut off for good: nobody's model is to blame.
EXIT_NO_BROKER = 3

#: Nothing here is larger than a model's configuration.
FRAME_LIMIT_BYTES = 16 * 1024 * 1024

_LENGTH_NBYTES = 4


class Load(NamedTuple):
    """Agent -> executor: load this instance as number `slot`. `config` is the JSON form of the configuration."""

    slot: int
    model: str
    version: int
    generation: str
    directory: str
    config: dict[str, Any]
    backend_config: dict[str, str]
    instance: str
    kind: str
    device_id: int


class Unload(NamedTuple):
    """Agent -> executor: take no more batches for `slot`, execute those that wait, finalize it."""

    slot: int


class Stop(NamedTuple):
    """Agent -> executor: unload everything and end."""


class Ping(NamedTuple):
    """Agent -> executor: are you there?"""


class Hello(NamedTuple):
    """Executor -> agent: I am on the bus under this incarnation."""

    incarnation: str


class Loaded(NamedTuple):
    """Executor -> agent: `slot` is ready to execute."""

    slot: int


class LoadFailed(NamedTuple):
    """Executor -> agent: `slot` cannot be loaded; `code` and `message` as errors travel."""

    slot: int
    code: int
    message: str


class Unloaded(NamedTuple):
    """Executor -> agent: `slot` is finalized and gone."""

    slot: int


class Pong(NamedTuple):
    """Executor -> agent: here I am. It comes from the side thread, so it says nothing of user code."""


ControlMessage = Load | Unload | Stop | Ping | Hello | Loaded | LoadFailed | Unloaded | Pong

#: Never reorder: the position is the number on the wire.
_KINDS: tuple[type[ControlMessage], ...] = (Load, Unload, Stop, Ping, Hello, Loaded, LoadFailed, Unloaded, Pong)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def encode(message: ControlMessage) -> bytes:
    """One whole frame."""
    body: bytes = msgpack.packb((_NUMBERS[type(message)], *message))
    return len(body).to_bytes(_LENGTH_NBYTES, "little") + body


def decode(body: bytes) -> ControlMessage:
    """The message in a frame's body. Raises InternalError for a number that this release does not know."""
    number, *fields = msgpack.unpackb(body, strict_map_key=False)
    if not 0 <= number < len(_KINDS):
        raise InternalError(f"control message of unknown kind {number}; are agent and executor of one release?")
    message: ControlMessage = _KINDS[number](*fields)
    return message


async def read(reader: asyncio.StreamReader) -> ControlMessage | None:
    """The next message, or None when the other side has closed the pipe. Raises InternalError on an absurd length."""
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_NBYTES), "little")
        if length > FRAME_LIMIT_BYTES:
            raise InternalError(f"control frame of {length} bytes, at most {FRAME_LIMIT_BYTES} are expected")
        return decode(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
