"""The HTTP endpoint of a gateway process: uvicorn on a socket of our own, and its drain."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from functools import partial
from typing import cast

import uvicorn

from shoal.core.errors import InvalidArgument
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.app import HttpApp
from shoal.gateway.http.joined_writes import JoiningProtocol
from shoal.gateway.http.stalled_clients import StalledClients
from shoal.gateway.options import HttpOptions, http_options
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.open_files import allow_open_files
from shoal.runtime.service import EnvironmentTrouble
from shoal.runtime.tls import server_context
from shoal.telemetry.logs import get_logger

#: An idle connection may stay this long; longer than the minute after which common proxies drop theirs.
_KEEP_ALIVE_S = 75
_BACKLOG = 2048
#: Files that a process has open beside the connections of its clients: shared memory, the broker, regions.
_OTHER_FILES = 1024
#: Between falling readiness and the end of accepting, so that whoever watches readiness can turn away first.
_DRAIN_NOTICE_S = 0.3

_log = get_logger("gateway")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the lifecycle's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(arguments: argparse.Namespace, gateway: Gateway, lifecycle: Lifecycle) -> None:
    """Serve HTTP until `lifecycle.stopping`, then drain: readiness falls, requests in flight finish within the exit
    timeout. Raises EnvironmentTrouble when the address cannot be bound or the files for TLS are not what they should
    be."""
    try:
        options = http_options(arguments)
        tls = None if options.tls is None else server_context(options.tls)
    except InvalidArgument as error:
        raise EnvironmentTrouble(error.message) from error
    listener = bind(options)
    app = HttpApp(gateway, options.max_input_nbytes)
    server = _Server(_config(app, options, tls, keeps_names=gateway.header_forwarding is not None))
    stalled = StalledClients(server.server_state.connections)
    stalled.open()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(lifecycle.stopping.wait())
    try:
        address, port = listener.getsockname()[:2]
        _log.info("http listening", address=address, port=port)
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        gateway.is_draining = True
        if not serving.done():
            await asyncio.sleep(_DRAIN_NOTICE_S)
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        stalled.close()
        serving.cancel()
        await asyncio.wait({serving})
        app.close()
        listener.close()


def bind(options: HttpOptions) -> socket.socket:
    """A socket bound to the endpoint's address. Blocks for the look-up of a name.

    Raises EnvironmentTrouble when the port is in use or the address is not of this machine.
    """
    try:
        family, _, _, _, resolved = socket.getaddrinfo(options.address, options.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        text = f"--http-address '{options.address}' is not an address of this machine: {error}"
        raise EnvironmentTrouble(text) from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by the accepted connections.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(resolved)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise EnvironmentTrouble(
            f"Socket '{options.address}:{options.port}' already in use or not available for HTTP ({error.strerror}); "
            "choose another --http-port, or let processes share it with --reuse-http-port=true"
        ) from error
    listener.setblocking(False)
    return listener


def _config(app: HttpApp, options: HttpOptions, tls: ssl.SSLContext | None, *, keeps_names: bool) -> uvicorn.Config:
    open_files = allow_open_files(options.max_connections + _OTHER_FILES)
    protocol = partial(
        JoiningProtocol,
        max_connections=min(options.max_connections, max(1, open_files - _OTHER_FILES)),
        keeps_names=keeps_names,
    )
    return uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], protocol),  # whatever makes one
        ssl_context_factory=None if tls is None else lambda config, default: tls,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=options.exit_timeout_s,
    )
