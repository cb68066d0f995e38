"""One row of the table of RPCs: how a message is read, what handles it, how the result is written.

A family of RPCs is a module with a function that gives its rows by path; `service` puts the families together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from shoal.gateway.grpc.convert import Buffer, Received
from shoal.gateway.grpc.schema import Message
from shoal.gateway.scattered import joined

#: What stands before the method in a path.
INFERENCE = "/inference.GRPCInferenceService/"
HEALTH = "/grpc.health.v1.Health/"

_NO_METADATA: Mapping[bytes, bytes] = MappingProxyType({})


class CallContext(NamedTuple):
    """What a call carries besides its messages. `deadline_s` is a reading of `time.monotonic()` or None; the names in
    `metadata` are in lower case."""

    deadline_s: float | None = None
    metadata: Mapping[bytes, bytes] = _NO_METADATA

    @property
    def traceparent(self) -> str:
        return self.metadata.get(b"traceparent", b"").decode("latin-1")


class Rpc(NamedTuple):
    """A unary RPC. `handle` raises ShoalErrors, which know their gRPC status; what `encode` gives is written in
    pieces. `is_compressible`: the level of compression for inference responses is meant for this one, too."""

    decode: Callable[[Received], Any]
    handle: Callable[[Any, CallContext], Awaitable[Any]]
    encode: Callable[[Any], Sequence[Buffer]]
    is_compressible: bool = False


#: Unary RPCs by path (`/package.Service/Method`).
Rpcs = Mapping[str, Rpc]


# Requests and responses are generated protobuf messages, for which there are no types: `Any` here and in the families.
def message_rpc(request: Any, handle: Callable[[Any, CallContext], Awaitable[Any]]) -> Rpc:
    """An RPC from a message of this class to any other message."""
    return Rpc(lambda message: request.FromString(joined(message)), handle, _serialize)


def bytes_rpc(handle: Callable[[Received, CallContext], Awaitable[bytes]]) -> Rpc:
    """An RPC whose messages are not worth a schema."""
    return Rpc(_as_it_is, handle, _one_piece)


def _serialize(message: Message) -> Sequence[Buffer]:
    return (message.SerializeToString(),)


def _as_it_is(message: Received) -> Received:
    return message


def _one_piece(message: bytes) -> Sequence[Buffer]:
    return (message,)
