"""The ASGI application of a gateway process that serves gRPC through Envoy; Envoy loads it by the name `app`."""

from __future__ import annotations

import argparse
import json
import os

from shoal.bus import Bus
from shoal.gateway.grpc.envoy_process import EnvoyApp, EnvoyEndpoint
from shoal.gateway.grpc.options import grpc_options
from shoal.gateway.grpc.server import ARGUMENTS
from shoal.gateway.opening import open_gateway
from shoal.gateway.options import LISTEN_TO
from shoal.runtime.lifecycle import Lifecycle
from shoal.runtime.service import configure_logs, serve_linked
from shoal.runtime.settings import bus_settings


async def _main(endpoint: EnvoyEndpoint, lifecycle: Lifecycle) -> None:
    """One gateway on one broker link, from the options that the launching process left in the environment."""
    configure_logs()
    arguments = argparse.Namespace(**json.loads(os.environ[ARGUMENTS]))

    async def serve(arguments: argparse.Namespace, bus: Bus, lifecycle: Lifecycle) -> None:
        async with open_gateway(bus, arguments) as gateway:
            await endpoint.serve(grpc_options(arguments), gateway, lifecycle)

    settings = bus_settings(argparse.Namespace(), os.environ)
    listen_to = LISTEN_TO
    await serve_linked("gateway", settings, listen_to, serve, arguments=arguments, lifecycle=lifecycle)


app = EnvoyApp(_main)
