"""The gateway that a process with given options has, from its opening to its close."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shoal.bus import Bus
from shoal.core.errors import InvalidArgument
from shoal.gateway.data_plane import DataPlane
from shoal.gateway.gateway import Gateway
from shoal.memory import open_arena
from shoal.runtime.service import EnvironmentTrouble


@asynccontextmanager
async def open_gateway(bus: Bus, arguments: argparse.Namespace) -> AsyncIterator[Gateway]:
    """The gateway of a process with these options on a bus that is not started, and its shared memory; both are closed
    at the end. Raises what `Bus.start` raises, and EnvironmentTrouble when the limit of shared memory is none."""
    try:
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
    )
    try:
        await gateway.open()
        yield gateway
    finally:
        await gateway.close()
        plane.close()
