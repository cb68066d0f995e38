"""gRPC calls through grpcio's asyncio server: for machines on which Envoy cannot run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio

from shoal.gateway.grpc.convert import MESSAGE_LIMIT_BYTES
from shoal.gateway.grpc.gateway_api import GatewayApi
from shoal.gateway.grpc.handlers import CallContext, Handlers
from shoal.gateway.grpc.listen_address import ListenAddress, claimable, trouble
from shoal.gateway.grpc.options import DRAIN_NOTICE_S, GrpcOptions
from shoal.gateway.grpc.service import Service
from shoal.gateway.grpc.status import RpcError
from shoal.runtime.lifecycle import Lifecycle
from shoal.telemetry.logs import get_logger

_log = get_logger("gateway")

_STATUS = {status.value[0]: status for status in grpc.StatusCode}


async def serve(options: GrpcOptions, gateway: GatewayApi, lifecycle: Lifecycle) -> None:
    """Serve gRPC until `lifecycle.stopping`, then drain: clients are told to go away, open calls may finish.

    Raises EnvironmentTrouble when the address cannot be bound.
    """
    address = claimable(options.address, options.port, options.reuse_port)
    server = grpc.aio.server(options=channel_options(options))
    server.add_generic_rpc_handlers((_Methods(Service(Handlers(gateway))),))
    port = _bind(server, address)
    await server.start()
    _log.info("grpc listening", address=address.ip, port=port, transport="grpcio")
    await lifecycle.stopping.wait()
    gateway.is_draining = True
    await asyncio.sleep(DRAIN_NOTICE_S)
    await server.stop(options.exit_timeout_s)


def channel_options(options: GrpcOptions) -> list[tuple[str, int]]:
    """The options in grpcio's names."""
    chosen = [
        ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
        ("grpc.so_reuseport", int(options.reuse_port)),
        ("grpc.keepalive_time_ms", options.keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", options.keepalive_timeout_ms),
        ("grpc.keepalive_permit_without_calls", int(options.permit_without_calls)),
        ("grpc.http2.max_pings_without_data", options.max_pings_without_data),
        ("grpc.http2.min_ping_interval_without_data_ms", options.min_ping_interval_ms),
        ("grpc.http2.max_ping_strikes", options.max_ping_strikes),
    ]
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
        refusal = self._service.refusal(path)
        if refusal is not None:
            return grpc.stream_stream_rpc_method_handler(partial(_refuse, refusal))
        return grpc.unary_unary_rpc_method_handler(self._unary(path))

    def _unary(self, path: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def answer(message: bytes, context: Any) -> bytes:
            remaining_s = context.time_remaining()
            deadline_s = None if remaining_s is None else time.monotonic() + remaining_s
            try:
                return b"".join(await self._service.call(path, message, CallContext(deadline_s, _trace(context))))
            except RpcError as error:
                await _abort(context, error)
                raise  # not reached: `abort` raises

        return answer


async def _refuse(refusal: RpcError, requests: AsyncIterator[bytes], context: Any) -> None:
    await _abort(context, refusal)


async def _abort(context: Any, error: RpcError) -> None:
    await context.abort(_STATUS[error.status], error.message)


def _trace(context: Any) -> str:
    return next((str(value) for key, value in context.invocation_metadata() if key == "traceparent"), "")


def _bind(server: Any, address: ListenAddress) -> int:
    try:
        port: int = server.add_insecure_port(address.authority())
    except RuntimeError as error:
        raise trouble(address.ip, address.port, error) from error
    return port
