"""The table of RPCs and the way of a call through it, for every transport alike: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from shoal.core.errors import ShoalError
from shoal.gateway.grpc.convert import Buffer, Received, decode_infer, encode_answer
from shoal.gateway.grpc.handlers import CallContext, Handlers
from shoal.gateway.grpc.schema import DecodeError, Message, service_pb2
from shoal.gateway.grpc.status import INTERNAL, UNIMPLEMENTED, RpcError
from shoal.gateway.scattered import joined
from shoal.telemetry.logs import get_logger

INFERENCE_SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"

_log = get_logger("gateway")


class Rpc(NamedTuple):
    """A unary RPC: how its message is read, what handles it, and how the result is written, in pieces."""

    decode: Callable[[Received], Any]
    handle: Callable[[Any, CallContext], Awaitable[Any]]
    encode: Callable[[Any], Sequence[Buffer]]


class Service:
    """All RPCs by path (`/package.Service/Method`)."""

    def __init__(self, handlers: Handlers) -> None:
        self._rpcs = _table(handlers)

    def refusal(self, path: str) -> RpcError | None:
        """Why a call of this path is not even read, or None when it is served."""
        if path in self._rpcs:
            return None
        service, _, method = path.strip("/").partition("/")
        if service == INFERENCE_SERVICE and method in _known_methods():
            return RpcError(UNIMPLEMENTED, f"{method} is not served by this release over gRPC")
        return RpcError(UNIMPLEMENTED, f"unknown method '{path}'; served are {INFERENCE_SERVICE} and {HEALTH_SERVICE}")

    async def call(self, path: str, message: Received, context: CallContext) -> Sequence[Buffer]:
        """The response message in pieces. The message may be kept referenced until the call is over, but need not.

        Raises RpcError, and nothing else but CancelledError.
        """
        rpc = self._rpcs[path]
        try:
            handling = rpc.handle(rpc.decode(message), context)
            del message  # the handler knows how long it needs it
            return rpc.encode(await handling)
        except ShoalError as error:
            raise RpcError(error.grpc_status, error.message) from error
        except DecodeError as error:
            raise RpcError(INTERNAL, f"cannot parse the message of {path}: {error}") from error
        except Exception as error:  # one call ends here; the others and the process are not concerned
            _log.exception("call failed", method=path)
            text = f"unexpected {type(error).__name__} in the server; its log has the details"
            raise RpcError(INTERNAL, text) from error


def _table(handlers: Handlers) -> dict[str, Rpc]:
    inference = {
        "ServerLive": _message_rpc(service_pb2.ServerLiveRequest, handlers.server_live),
        "ServerReady": _message_rpc(service_pb2.ServerReadyRequest, handlers.server_ready),
        "ModelReady": _message_rpc(service_pb2.ModelReadyRequest, handlers.model_ready),
        "ServerMetadata": _message_rpc(service_pb2.ServerMetadataRequest, handlers.server_metadata),
        "ModelMetadata": _message_rpc(service_pb2.ModelMetadataRequest, handlers.model_metadata),
        "ModelConfig": _message_rpc(service_pb2.ModelConfigRequest, handlers.model_config),
        "ModelStatistics": _message_rpc(service_pb2.ModelStatisticsRequest, handlers.model_statistics),
        "RepositoryIndex": _message_rpc(service_pb2.RepositoryIndexRequest, handlers.repository_index),
        "ModelInfer": Rpc(decode_infer, handlers.model_infer, encode_answer),
    }
    table = {f"/{INFERENCE_SERVICE}/{method}": rpc for method, rpc in inference.items()}
    table[f"/{HEALTH_SERVICE}/Check"] = Rpc(_as_it_is, handlers.health_check, _one_piece)
    return table


def _message_rpc(request: Any, handle: Callable[[Any, CallContext], Awaitable[Any]]) -> Rpc:
    return Rpc(lambda message: request.FromString(joined(message)), handle, _serialize)


def _known_methods() -> frozenset[str]:
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    return frozenset(method.name for method in service.methods)


def _serialize(message: Message) -> Sequence[Buffer]:
    return (message.SerializeToString(),)


def _as_it_is(message: Received) -> Received:
    return message


def _one_piece(message: bytes) -> Sequence[Buffer]:
    return (message,)
