"""What a gateway knows of the models when it opens, beside a real broker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from broker_process import Broker
from gateway_models import add_sub, entry, instance
from shoal.bus import Bus, BusSettings, HeartbeatBody, View
from shoal.core.desired import RepositoryStatus, encode
from shoal.core.messages import InstanceStatus
from shoal.gateway.model_views import ModelViews
from shoal.gateway.models import Models

pytestmark = pytest.mark.slow


@asynccontextmanager
async def agent_and_repository(settings: BusSettings, *instances: InstanceStatus) -> AsyncIterator[None]:
    """`addsub` is desired, examined, and has these instances."""
    bus = await Bus.connect(settings, role="agent")
    bus.body = lambda: HeartbeatBody(instances=instances)
    await bus.start()
    desired, repository = await View.open(bus, "desired"), await View.open(bus, "repository")
    await desired.put("addsub", encode(entry(add_sub(), 1)))
    await repository.put("status", encode(RepositoryStatus(1, True, ("addsub",), "")))
    yield
    await desired.close()
    await repository.close()
    await bus.close()


@asynccontextmanager
async def opened_models(settings: BusSettings) -> AsyncIterator[Models]:
    """The models as a gateway that has just opened knows them."""
    bus, models = await Bus.connect(settings, role="gateway", listen_to=("agent",)), Models()
    views = ModelViews(bus, models)
    views.watch_agents()
    await bus.start()
    await views.open()
    yield models
    await views.close()
    await bus.close()


async def test_a_gateway_that_comes_to_ready_models_knows_them_when_it_opens(broker: Broker) -> None:
    async with (
        agent_and_repository(broker.settings(), instance("addsub", 1)),
        opened_models(broker.settings()) as models,
    ):
        assert models.is_ready("addsub", 1)


async def test_a_gateway_opens_soon_when_nobody_has_the_models(broker: Broker) -> None:
    async with agent_and_repository(broker.settings()):
        began = time.monotonic()
        async with opened_models(broker.settings()) as models:
            assert time.monotonic() < began + 3.0
            assert not models.is_ready("addsub", 1)
