"""The table of RPCs and the way of a call through it, for every transport alike: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from shoal.core.errors import ShoalError
from shoal.gateway.access.caller import Caller, current_caller
from shoal.gateway.access.operations import rpc_operation
from shoal.gateway.grpc.convert import Buffer, Received
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.infer_rpcs import infer_rpcs
from shoal.gateway.grpc.model_rpcs import model_rpcs
from shoal.gateway.grpc.region_rpcs import region_rpcs
from shoal.gateway.grpc.repository_rpcs import repository_rpcs
from shoal.gateway.grpc.rpc import HEALTH, INFERENCE, CallContext
from shoal.gateway.grpc.schema import DecodeError
from shoal.gateway.grpc.server_rpcs import server_rpcs
from shoal.gateway.grpc.settings_rpcs import settings_rpcs
from shoal.gateway.grpc.status import INTERNAL, UNIMPLEMENTED, ClientLeft, RpcError, rpc_error
from shoal.gateway.grpc.stream_infer import InferStreams, Write
from shoal.telemetry.logs import get_logger

#: Every family of RPCs; each gives its rows of the table for one gateway.
_FAMILIES = (infer_rpcs, server_rpcs, model_rpcs, repository_rpcs, region_rpcs, settings_rpcs)

_INFER = INFERENCE + "ModelInfer"
#: The one RPC that is a stream in both directions.
_STREAM = INFERENCE + "ModelStreamInfer"

_log = get_logger("gateway")


class Service:
    """All RPCs of `inference.GRPCInferenceService` and of `grpc.health.v1.Health` by path, on top of one gateway.

    To be used from the event loop only.
    """

    def __init__(self, gateway: GatewayApi) -> None:
        self._rpcs = {path: rpc for family in _FAMILIES for path, rpc in family(gateway).items()}
        self._streams = InferStreams(gateway)
        self._access = gateway.access

    @property
    def paths(self) -> Collection[str]:
        """What is served."""
        return (*self._rpcs, _STREAM)

    def let_in(self, path: str, metadata: Mapping[bytes, bytes]) -> Caller | None:
        """Who makes this call, for `work_for` in the task that answers it; to be asked before anything is read. Raises
        RpcError for a call that is not served, or not to this caller."""
        operation = rpc_operation(path)
        if operation is None or not (path in self._rpcs or self.is_stream(path)):
            services = " and ".join(prefix.strip("/") for prefix in (INFERENCE, HEALTH))
            raise RpcError(UNIMPLEMENTED, f"unknown method '{path}'; served are {services}")
        if self._access.is_open:
            return None
        try:
            return self._access.admit(operation, metadata)
        except ShoalError as error:
            raise rpc_error(error) from error

    async def call(self, path: str, message: Received, context: CallContext) -> Sequence[Buffer]:
        """The response message in pieces, of a unary RPC. The message may be kept referenced until the call is over,
        but need not.

        Raises RpcError, and nothing else but CancelledError.
        """
        try:
            caller = current_caller()
            # Requests for inference are counted where a stream may have many of them: by the admission.
            if caller is None or path == _INFER:
                handling = self._handle(path, message, context)
                del message  # the handler knows how long it needs it
                return await handling
            with caller.request():
                return await self._handle(path, message, context)
        except Exception as error:  # one call ends here; the others and the process are not concerned
            raise _failure(path, error) from error

    async def _handle(self, path: str, message: Received, context: CallContext) -> Sequence[Buffer]:
        rpc = self._rpcs[path]
        handling = rpc.handle(rpc.decode(message), context)
        del message
        return rpc.encode(await handling)

    async def stream(self, path: str, messages: AsyncIterator[Received], context: CallContext, write: Write) -> None:
        """Serve a call for which `is_stream` holds; returns at its good end. `write` gets responses one call after
        another. Cancelling it cancels the requests on it.

        Raises RpcError, ClientLeft if `messages` or `write` do, and nothing else but CancelledError.
        """
        try:
            await self._streams.serve(messages, context, write)
        except ClientLeft:
            raise
        except Exception as error:  # as above
            raise _failure(path, error) from error

    def is_stream(self, path: str) -> bool:
        return path == _STREAM

    def is_compressible(self, path: str) -> bool:
        """Whether responses may be compressed as `--grpc-infer-response-compression-level` says."""
        return self.is_stream(path) or self._rpcs[path].is_compressible

    def wind_up(self) -> None:
        """Have streams end when they have answered what they accepted, for the end of the process."""
        self._streams.wind_up()


def _failure(path: str, error: Exception) -> RpcError:
    """How a call ends for its client; to be called while the error is handled."""
    if isinstance(error, RpcError):
        return error
    if isinstance(error, ShoalError):
        return rpc_error(error)
    if isinstance(error, DecodeError):
        return RpcError(INTERNAL, f"cannot parse the message of {path}: {error}")
    _log.exception("call failed", method=path)
    return RpcError(INTERNAL, f"unexpected {type(error).__name__} in the server; its log has the details")
