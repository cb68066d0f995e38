"""A gateway process: `python -m shoal.gateway --protocol http|grpc`.

What serves is imported late: a process that becomes the gRPC transport has to import it there.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from shoal.core.errors import InvalidArgument
from shoal.gateway.options import LISTEN_TO, make_parser
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.parent_death import die_with_parent
from shoal.runtime.service import EXIT_ENVIRONMENT, EnvironmentTrouble, configure_logs, run_service
from shoal.runtime.settings import add_bus_options, bus_settings

if TYPE_CHECKING:
    from shoal.bus import Bus


def main() -> int:
    """Run the process to its end; returns its exit code (see `run_service`). Does not return when the process becomes
    the gRPC transport."""
    parser = make_parser()
    add_bus_options(parser)
    arguments = parser.parse_args()
    if arguments.protocol == "grpc":
        try:
            _launch_grpc(parser, arguments)
        except EnvironmentTrouble as trouble:
            sys.stderr.write(f"{trouble}\n")
            return EXIT_ENVIRONMENT
    return run_service("gateway", make_parser(), _serve, LISTEN_TO)


def _launch_grpc(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Become the transport, where it is a process of its own; returns where gRPC is served from this one."""
    from shoal.gateway.grpc.server import launch

    die_with_parent()
    try:
        configure_logs()
        settings = bus_settings(arguments, os.environ)
    except InvalidArgument as error:
        parser.error(error.message)
    launch(arguments, settings)


async def _serve(arguments: argparse.Namespace, bus: Bus, lifecycle: Lifecycle) -> None:
    from shoal.gateway.opening import open_gateway

    async with open_gateway(bus, arguments) as gateway:
        if arguments.protocol == "grpc":
            from shoal.gateway.grpc import server as grpc_server

            await grpc_server.serve(arguments, gateway, lifecycle)
        else:
            from shoal.gateway.http import server as http_server

            await http_server.serve(arguments, gateway, lifecycle)


if __name__ == "__main__":
    sys.exit(main())
