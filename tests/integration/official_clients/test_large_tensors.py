"""Large tensors both ways, and what an operator sets for those that are not taken by default."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from tritonclient.utils import InferenceServerException

from client_stage import FLAVORS, GRPC, HTTP, Client, Flavor, connected, running
from shoal_server import Server

#: aiohttp, below one of the clients, says so of every body over a MiB.
BODY_WARNING = "ignore:Sending a large body directly with raw bytes:ResourceWarning"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(BODY_WARNING)]

MIB = 2**20
GIB = 2**30


def numbers(nbytes: int) -> npt.NDArray[np.uint64]:
    """Every eight bytes say where they are."""
    return np.arange(nbytes // 8, dtype=np.uint64)


async def check(client: Client, nbytes: int) -> None:
    given = numbers(nbytes)
    got = await client.identity("UINT64", given)
    assert np.array_equal(got, given)


async def test_64_mib_come_back(client: Client) -> None:
    await check(client, 64 * MIB)


async def test_64_mib_come_back_through_the_other_grpc_transport(other_server: Server) -> None:
    async with connected(GRPC, other_server) as client:
        await check(client, 64 * MIB)


@pytest.mark.parametrize("flavor", [HTTP, GRPC], ids=lambda flavor: flavor.name)
async def test_more_than_may_be_in_flight_is_refused_with_what_to_set(server: Server, flavor: Flavor) -> None:
    async with connected(flavor, server) as client:
        with pytest.raises(InferenceServerException, match="--max-inflight-bytes"):
            await client.identity("UINT64", numbers(257 * MIB))
        assert (await client.identity("INT32", [1])).tolist() == [1]


@pytest.fixture(scope="module")
def server_for_a_gib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It takes what Triton takes: anything that fits into a message."""
    flags = (f"--max-inflight-bytes={2 * GIB}", f"--shm-limit={3 * GIB}")
    with running(tmp_path_factory.mktemp("clients"), *flags) as server:
        yield server


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flavor", FLAVORS, ids=lambda flavor: flavor.name)
async def test_a_gib_comes_back(server_for_a_gib: Server, flavor: Flavor) -> None:
    options = {"network_timeout": 300.0} if flavor is HTTP else {}
    async with connected(flavor, server_for_a_gib, **options) as client:
        await check(client, GIB)
