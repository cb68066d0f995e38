"""The log settings of the deployment, followed by a process that is no gateway: who changes them tells gateways, and
they write them where everybody finds them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shoal.bus import Bus, View
from shoal.core.errors import ShoalError
from shoal.core.stamped import GATEWAYS, LOG_SETTINGS_KEY, decode
from shoal.telemetry import logs
from shoal.telemetry.log_settings import LOG_SETTINGS, LogSettings, from_environment

_log = logs.get_logger("logs")


@asynccontextmanager
async def following_log_settings(bus: Bus) -> AsyncIterator[None]:
    """Log by the settings of the deployment meanwhile, on a connected bus; by those of the start as long as there are
    none. Nobody waits for a broker that cannot say."""
    following = asyncio.get_running_loop().create_task(_follow(bus, from_environment(os.environ)))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _follow(bus: Bus, start: LogSettings) -> None:
    def on_change(key: str, value: bytes | None, revision: int) -> None:
        settings = start if value is None else start.updated(json.loads(decode(value).value))
        logs.apply(settings)
        # Children of this process begin with what is in force.
        os.environ[LOG_SETTINGS] = json.dumps(settings.to_json())

    while not bus.closed.is_set():
        try:
            view = await View.open(bus, GATEWAYS, on_change, key=LOG_SETTINGS_KEY)
        except ShoalError as error:
            _log.warning("log settings not read", reason=error.message)
            continue
        try:
            await bus.closed.wait()
        finally:
            await view.close()
