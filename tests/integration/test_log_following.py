"""Processes that are no gateways log by the settings that gateways wrote."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable

import pytest

from broker_process import Broker
from shoal.bus import Bus, View
from shoal.core.stamped import GATEWAYS, LOG_SETTINGS_KEY, encode, stamped
from shoal.runtime.log_following import following_log_settings
from shoal.telemetry import logs
from shoal.telemetry.log_settings import LOG_SETTINGS, LogSettings, from_environment

pytestmark = pytest.mark.slow

WAIT_S = 15.0


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[LogSettings]:
    """The settings that this process was told to log by; it was started without information."""
    applied: list[LogSettings] = []
    monkeypatch.setenv(LOG_SETTINGS, '{"log_info": false}')
    monkeypatch.setattr(logs, "apply", applied.append)
    return applied


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    bus = await Bus.connect(broker.settings(), role="scheduler")
    yield bus
    await bus.close()


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def test_settings_are_followed_over_those_of_the_start_and_handed_to_children(
    bus: Bus, applied: list[LogSettings]
) -> None:
    settings = await View.open(bus, GATEWAYS)
    await settings.put(LOG_SETTINGS_KEY, encode(stamped(json.dumps({"log_verbose_level": 2}).encode())))
    await settings.put("regions/SYSTEM/other", encode(stamped(b"not for us")))
    async with following_log_settings(bus):
        await until(lambda: applied == [LogSettings(info=False, verbose_level=2)])
        assert from_environment(os.environ) == applied[-1]
        await settings.put(LOG_SETTINGS_KEY, encode(stamped(json.dumps({"log_info": True}).encode())))
        await until(lambda: applied[-1] == LogSettings())
    await settings.close()
