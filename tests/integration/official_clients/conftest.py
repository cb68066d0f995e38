"""One server for all tests of the official clients, and one more that serves gRPC by its other transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from client_stage import FLAVORS, Client, Flavor, connected, running
from shoal_server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("clients")) as server:
        yield server


@pytest.fixture(scope="session")
def other_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """gRPC through grpcio, which is what is used where Envoy cannot run."""
    with running(tmp_path_factory.mktemp("clients"), "--grpc-transport=grpcio") as server:
        yield server


@pytest.fixture(params=FLAVORS, ids=lambda flavor: flavor.name)
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Client]:
    """Each of the official clients in turn."""
    flavor: Flavor = request.param
    async with connected(flavor, server) as client:
        yield client
