"""The gateway that a process with given options has, from its opening to its close."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shoal.bus import Bus
from shoal.core.errors import InvalidArgument
from shoal.gateway.access.opening import open_access
from shoal.gateway.admission import Admission
from shoal.gateway.data_plane import DataPlane
from shoal.gateway.gateway import Gateway
from shoal.gateway.header_forwarding import header_forwarding
from shoal.gateway.start_settings import StartSettings
from shoal.memory import open_arena
from shoal.runtime.service import EnvironmentTrouble
from shoal.telemetry import log_settings, trace_settings


@asynccontextmanager
async def open_gateway(bus: Bus, arguments: argparse.Namespace) -> AsyncIterator[Gateway]:
    """The gateway of a process with these options on a bus that is not started, and its shared memory; both are closed
    at the end. Raises what `Bus.start` raises, and EnvironmentTrouble when the limit of shared memory is none, or the
    rules of access or the settings of the start cannot be read."""
    async with open_access(arguments) as access:
        try:
            start = _start_settings(arguments)
            is_http = arguments.protocol == "http"
            forwarding = header_forwarding(arguments.http_pattern if is_http else arguments.metadata_pattern)
            plane = DataPlane(open_arena(bus.incarnation, os.environ))
        except InvalidArgument as error:
            raise EnvironmentTrouble(error.message) from error
        bus.host = plane.host
        gateway = Gateway(
            bus,
            plane,
            server_id=arguments.id,
            strict_readiness=arguments.strict_readiness,
            default_deadline_ms=arguments.default_deadline,
            allow_client_shm=arguments.allow_client_shm,
            access=access,
            admission=Admission(
                arguments.max_inflight_requests,
                arguments.max_inflight_bytes,
                is_limiting_models=arguments.overload_control,
            ),
            forwarding=forwarding,
            start=start,
        )
        try:
            await gateway.open()
            yield gateway
        finally:
            await gateway.close()
            plane.close()


def _start_settings(arguments: argparse.Namespace) -> StartSettings:
    return StartSettings(
        log_settings.from_environment(os.environ),
        os.environ.get(log_settings.LOG_FILE, ""),
        trace_settings.from_config(arguments.trace_config),
    )
