"""gRPC calls through grpcio's asyncio server: for machines on which Envoy cannot run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

import grpc
import grpc.aio

from shoal.gateway.access.caller import Caller, work_for
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.listen_address import ListenAddress, claimable, trouble
from shoal.gateway.grpc.options import DRAIN_NOTICE_S, CompressionLevel, GrpcOptions
from shoal.gateway.grpc.rpc import CallContext
from shoal.gateway.grpc.service import Service
from shoal.gateway.grpc.status import INTERNAL, RpcError
from shoal.gateway.grpc.stream_flow import Message
from shoal.gateway.limits import MESSAGE_LIMIT_BYTES
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.tls import TlsFiles
from shoal.telemetry.logs import get_logger

_log = get_logger("gateway")

#: Longer than any server runs.
_EVER_S = 1e9

#: grpcio's numbers for the levels.
_LEVELS: Mapping[CompressionLevel, int] = {"none": 0, "low": 1, "medium": 2, "high": 3}

_STATUS = {status.value[0]: status for status in grpc.StatusCode}


async def serve(options: GrpcOptions, gateway: GatewayApi, lifecycle: Lifecycle) -> None:
    """Serve gRPC until `lifecycle.stopping`, then drain: clients are told to go away, open calls may finish.

    Raises EnvironmentTrouble when the address cannot be bound.
    """
    service = Service(gateway)
    address = claimable(options.address, options.port, options.reuse_port)
    server, address = await _start(options, address, service)
    _log.info("grpc listening", address=address.ip, port=address.port, transport="grpcio")
    stopping = asyncio.ensure_future(lifecycle.stopping.wait())
    while await _has_failed(server, stopping):
        server, address = await _start(options, address, service)
    gateway.is_draining = True
    await asyncio.sleep(DRAIN_NOTICE_S)
    service.wind_up()
    await server.stop(options.exit_timeout_s)


async def _start(options: GrpcOptions, address: ListenAddress, service: Service) -> tuple[Any, ListenAddress]:
    """A server that listens, and where."""
    server = grpc.aio.server(options=channel_options(options))
    server.add_generic_rpc_handlers((_Methods(service),))
    port = _bind(server, address, options.tls)
    await server.start()
    return server, address._replace(port=port)


async def _has_failed(server: Any, stopping: asyncio.Future[Literal[True]]) -> bool:
    """Wait until grpcio gives up or we are asked to stop. One call whose path is not UTF-8 makes it give up: it ends
    all calls and listens no longer."""
    # Without a limit of time grpcio would take the cancellation of the waiting for the end of the server.
    ended = asyncio.ensure_future(server.wait_for_termination(_EVER_S))
    await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        ended.cancel()
        return False
    error = ended.exception()
    _log.warning("grpc server failed", cause=f"{type(error).__name__}: {error}", action="it is started again")
    return True


def channel_options(options: GrpcOptions) -> list[tuple[str, int]]:
    """The options in grpcio's names."""
    chosen = [
        ("grpc.max_receive_message_length", options.message_limit_nbytes),
        ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.keepalive_time_ms", options.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", options.keepalive_timeout_ms),
        # What grpcio really waits for the answer to a ping, a minute by default.
        ("grpc.http2.ping_timeout_ms", options.keepalive_timeout_ms),
        ("grpc.keepalive_permit_without_calls", int(options.permit_without_calls)),
        ("grpc.http2.max_pings_without_data", options.max_pings_without_data),
        ("grpc.http2.min_ping_interval_without_data_ms", options.min_ping_interval_ms),
        ("grpc.http2.max_ping_strikes", options.max_ping_strikes),
    ]
    if options.response_compression != "none":
        chosen.append(("grpc.default_compression_level", _LEVELS[options.response_compression]))
    if options.max_connection_age_ms:
        chosen.append(("grpc.max_connection_age_ms", options.max_connection_age_ms))
    if options.max_connection_age_grace_ms is not None:
        chosen.append(("grpc.max_connection_age_grace_ms", options.max_connection_age_grace_ms))
    return chosen


class _Methods(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Hands every call to the service as bytes. What is not served is refused without reading the request."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        try:
            caller = self._service.let_in(path, _metadata(handler_call_details.invocation_metadata))
        except RpcError as refusal:
            return grpc.stream_stream_rpc_method_handler(partial(_refuse, refusal))
        if self._service.is_stream(path):
            return grpc.stream_stream_rpc_method_handler(partial(self._stream, path, caller))
        # grpcio would never answer a unary call that ends without a message.
        return grpc.stream_unary_rpc_method_handler(self._unary(path, caller))

    def _unary(self, path: str, caller: Caller | None) -> Callable[[AsyncIterator[bytes], Any], Awaitable[bytes]]:
        is_compressible = self._service.is_compressible(path)

        async def answer(messages: AsyncIterator[bytes], context: Any) -> bytes:
            work_for(caller)
            if not is_compressible:
                context.disable_next_message_compression()
            try:
                message = await anext(aiter(messages), None)
                if message is None:
                    raise RpcError(INTERNAL, "request ends without a whole message, expected one")
                return b"".join(await self._service.call(path, message, _call_context(context)))
            except RpcError as error:
                await _abort(context, error)
                raise  # not reached: `abort` raises

        return answer

    async def _stream(self, path: str, caller: Caller | None, messages: AsyncIterator[bytes], context: Any) -> None:
        work_for(caller)

        async def write(responses: list[Message]) -> None:
            for response in responses:
                await context.write(b"".join(response))

        try:
            await self._service.stream(path, messages, _call_context(context), write)
        except RpcError as error:
            await _abort(context, error)


async def _refuse(refusal: RpcError, requests: AsyncIterator[bytes], context: Any) -> None:
    await _abort(context, refusal)


async def _abort(context: Any, error: RpcError) -> None:
    trailers = tuple((name.decode(), value.decode()) for name, value in error.trailers)
    await context.abort(_STATUS[error.status], error.message, trailers)


def _call_context(context: Any) -> CallContext:
    remaining_s = context.time_remaining()
    deadline_s = None if remaining_s is None else time.monotonic() + remaining_s
    return CallContext(deadline_s, _metadata(context.invocation_metadata()))


def _metadata(given: Iterable[tuple[str, str | bytes]]) -> dict[bytes, bytes]:
    return {key.encode(): value.encode() if isinstance(value, str) else value for key, value in given}


def _bind(server: Any, address: ListenAddress, tls: TlsFiles | None) -> int:
    try:
        if tls is None:
            port: int = server.add_insecure_port(address.authority())
        else:
            port = server.add_secure_port(address.authority(), _credentials(tls))
    except RuntimeError as error:
        raise trouble(address.ip, address.port, error) from error
    return port


def _credentials(files: TlsFiles) -> Any:
    ca = None if files.client_ca is None else files.client_ca.read_bytes()
    pair = (files.key.read_bytes(), files.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)
