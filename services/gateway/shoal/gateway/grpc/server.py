"""The gRPC endpoint of a gateway process: which transport, and how the process comes to serve through it.

Through grpcio a gateway process is a service like the others: `serve` runs on its event loop. Through Envoy the process
has to become Envoy before it is anything else: `launch` does that, and the gateway is built in there (`envoy_app`, and
`envoy_process` for how such a process lives).
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from shoal.bus import BusSettings
from shoal.core.errors import InvalidArgument
from shoal.gateway.grpc.choose import choose
from shoal.gateway.grpc.envoy_process import become_envoy
from shoal.gateway.grpc.options import GrpcOptions, grpc_options
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.service import EnvironmentTrouble
from shoal.runtime.settings import to_environment
from shoal.runtime.tls import server_context
from shoal.telemetry.logs import get_logger

if TYPE_CHECKING:
    from shoal.gateway.grpc.gateway_api import GatewayApi

__all__ = ["ARGUMENTS", "launch", "serve"]

#: Where the application inside Envoy finds the options of its process, as JSON.
ARGUMENTS = "SHOAL_GATEWAY_ARGUMENTS"

_ENVOY_APP = "shoal.gateway.grpc.envoy_app:app"

_log = get_logger("gateway")


def launch(arguments: argparse.Namespace, settings: BusSettings) -> None:
    """Become Envoy where that is the transport; returns where it is grpcio, after saying once why.

    To be called from the main thread, after `die_with_parent` and `configure_logs`, before an event loop runs.
    Raises EnvironmentTrouble when the port is in use, when Envoy is asked for and cannot run here, or when the files
    for TLS are not what they should be.
    """
    options = _checked_options(arguments)
    choice = choose(options.transport)
    if choice.envoy is not None:
        environment = to_environment(settings) | {ARGUMENTS: json.dumps(vars(arguments))}
        become_envoy(options, choice.envoy, _ENVOY_APP, environment)
    if choice.warning is not None:
        _log.warning("gRPC goes through grpcio", reason=choice.warning)


def _checked_options(arguments: argparse.Namespace) -> GrpcOptions:
    try:
        options = grpc_options(arguments)
        if options.tls is not None:
            server_context(options.tls)
    except InvalidArgument as error:
        raise EnvironmentTrouble(error.message) from error
    return options


async def serve(arguments: argparse.Namespace, gateway: GatewayApi, lifecycle: Lifecycle) -> None:
    """Serve gRPC through grpcio until `lifecycle.stopping`, then drain. Raises EnvironmentTrouble when the address
    cannot be bound."""
    # grpcio is not imported by a process that becomes Envoy.
    from shoal.gateway.grpc import transport_grpcio

    await transport_grpcio.serve(grpc_options(arguments), gateway, lifecycle)
