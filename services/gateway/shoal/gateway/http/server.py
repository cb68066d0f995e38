"""The HTTP endpoint of a gateway process: uvicorn on a socket of our own, and its drain."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn

from shoal.gateway.gateway import Gateway
from shoal.gateway.http.app import HttpApp
from shoal.gateway.http.joined_writes import JoiningProtocol
from shoal.gateway.options import HttpOptions, http_options
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.service import EnvironmentTrouble
from shoal.telemetry.logs import get_logger

#: An idle connection may stay this long; longer than the minute after which common proxies drop theirs.
_KEEP_ALIVE_S = 75
_BACKLOG = 2048
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
    timeout. Raises EnvironmentTrouble when the address cannot be bound."""
    options = http_options(arguments)
    listener = bind(options)
    app = HttpApp(gateway, options.max_input_nbytes)
    server = _Server(_config(app, options))
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


def _config(app: HttpApp, options: HttpOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=JoiningProtocol,
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
