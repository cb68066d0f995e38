"""Fixtures of the chaos tests: a server of its own for each test, on the test's broker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import Broker
from shoal.runtime.settings import to_environment
from shoal_server import Server


@pytest.fixture
def server(broker: Broker) -> Iterator[Server]:
    """`shoal serve` on that broker with the example models, started."""
    settings = broker.settings()
    environment = to_environment(settings)
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder), f"--nats-url={settings.url}", environment=environment) as server,
    ):
        server.wait_until_started()
        yield server
