"""The registry of client regions: one gateway's, and that of two which share it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client_files import ClientFile, descriptors_of
from cuda_driver import CudaDriver, installed_driver
from eventually import eventually
from local_shared import LocalShared
from segments import segment_folder
from shoal.core.errors import AlreadyExists, InternalError, InvalidArgument, NotFound, Unavailable, Unsupported
from shoal.gateway import region_entry
from shoal.gateway.region_entry import Kind, RegionEntry
from shoal.gateway.regions import DISABLED, REGION_LIMIT, Regions, UnknownRegion


@pytest.fixture
def folder() -> Any:
    with segment_folder() as made:
        yield made


@pytest.fixture
def shared() -> LocalShared:
    return LocalShared()


@pytest.fixture
def regions(shared: LocalShared, folder: Path) -> Regions:
    return Regions(shared, is_allowed=True, folder=folder)


@pytest.fixture
def other(shared: LocalShared, folder: Path) -> Regions:
    """Another gateway's."""
    return Regions(shared, is_allowed=True, folder=folder)


@pytest.fixture
def file(folder: Path) -> ClientFile:
    return ClientFile("client", b"0123456789", folder)


def content(regions: Regions, name: str, offset: int = 0, nbytes: int = 4) -> bytes:
    return bytes(regions.part(name, offset, nbytes).read())


async def listed(regions: Regions, kind: Kind = Kind.SYSTEM, name: str = "") -> list[tuple[str, str, int, int]]:
    return [(entry.name, entry.key, entry.offset, entry.nbytes) for entry in await regions.status(kind, name)]


async def test_a_region_is_known_to_every_gateway(regions: Regions, other: Regions, file: ClientFile) -> None:
    await regions.register_system("r", file.key, 2, 8)
    assert content(regions, "r") == content(other, "r") == b"2345"
    assert await listed(regions) == await listed(other, name="r") == [("r", "/client", 2, 8)]
    assert descriptors_of(file.path) == 2
    await other.unregister(Kind.SYSTEM, "r")
    assert await listed(regions) == []
    assert descriptors_of(file.path) == 0
    with pytest.raises(UnknownRegion, match=r"^Unable to find shared memory region: 'r'$"):
        regions.part("r", 0, 4)


async def test_a_name_is_taken_until_it_is_unregistered(regions: Regions, other: Regions, file: ClientFile) -> None:
    await regions.register_system("r", file.key, 0, 4)
    for gateway in (regions, other):
        with pytest.raises(AlreadyExists, match="shared memory region 'r' already in manager"):
            await gateway.register_system("r", "/none", 0, 4)
    await regions.unregister(Kind.SYSTEM, "r")
    await other.register_system("r", file.key, 4, 4)
    assert content(regions, "r") == b"4567"


async def test_a_name_that_another_gateway_gives_at_the_same_time_is_taken(
    shared: LocalShared, regions: Regions, other: Regions, file: ClientFile
) -> None:
    shared.behind = []
    await other.register_system("r", file.key, 0, 4)
    with pytest.raises(AlreadyExists):
        await regions.register_system("r", file.key, 0, 8)
    await regions.refresh()
    assert await listed(regions) == [("r", "/client", 0, 4)]


async def test_what_was_just_registered_elsewhere_is_learnt_before_it_is_denied(
    shared: LocalShared, regions: Regions, other: Regions, file: ClientFile
) -> None:
    shared.behind = []
    await other.register_system("r", file.key, 0, 4)
    assert await listed(regions, name="r") == [("r", "/client", 0, 4)]


async def test_what_was_just_unregistered_elsewhere_is_free(
    shared: LocalShared, regions: Regions, other: Regions, file: ClientFile
) -> None:
    await regions.register_system("r", file.key, 0, 4)
    shared.behind = []
    await other.unregister(Kind.SYSTEM, "r")
    await regions.register_system("r", file.key, 0, 8)
    assert await listed(other) == [("r", "/client", 0, 8)]


async def test_all_of_a_kind_are_unregistered_at_once(regions: Regions, file: ClientFile) -> None:
    for name in ("b", "a"):
        await regions.register_system(name, file.key, 0, 4)
    await regions.unregister(Kind.CUDA, "")
    assert [row[0] for row in await listed(regions)] == ["a", "b"]
    await regions.unregister(Kind.SYSTEM, "")
    assert await listed(regions) == []


async def test_unregistering_what_is_not_there_is_fine(regions: Regions, file: ClientFile) -> None:
    await regions.register_system("r", file.key, 0, 4)
    await regions.unregister(Kind.SYSTEM, "never")
    await regions.unregister(Kind.CUDA, "r")
    assert len(await listed(regions)) == 1


async def test_a_region_in_use_outlives_its_name(regions: Regions, file: ClientFile, folder: Path) -> None:
    await regions.register_system("r", file.key, 0, 10)
    part = regions.part("r", 0, 4)
    await regions.unregister(Kind.SYSTEM, "r")
    successor = ClientFile("successor", bytes(10), folder)
    await regions.register_system("r", successor.key, 0, 10)
    part.write(b"old!")
    assert (file.read(), successor.read()) == (b"old!456789", bytes(10))
    del part
    assert descriptors_of(file.path) == 0


async def test_the_status_of_a_name_is_asked_by_its_kind(regions: Regions, file: ClientFile) -> None:
    await regions.register_system("r", file.key, 0, 4)
    for kind, name, text in (
        (Kind.SYSTEM, "none", "Unable to find system shared memory region: 'none'"),
        (Kind.CUDA, "none", "Unable to find cuda shared memory region: 'none'"),
        (Kind.CUDA, "r", "The region named 'r' is registered as system shared memory, not CUDA shared memory"),
    ):
        with pytest.raises(NotFound, match=f"^{text}$"):
            await regions.status(kind, name)


async def test_nothing_is_registered_where_it_is_not_allowed(
    shared: LocalShared, other: Regions, file: ClientFile, folder: Path
) -> None:
    regions = Regions(shared, is_allowed=False, folder=folder)
    await other.register_system("r", file.key, 0, 4)
    for attempt in (
        regions.register_system("q", file.key, 0, 4),
        regions.register_cuda("q", bytes(64), 0, 4),
        regions.unregister(Kind.SYSTEM, ""),
        regions.unregister(Kind.CUDA, "r"),
    ):
        with pytest.raises(Unsupported, match=f"^{DISABLED}$"):
            await attempt
    assert await listed(regions) == []
    with pytest.raises(UnknownRegion):
        regions.part("r", 0, 4)


async def test_there_is_no_device_memory_without_a_gpu(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    with installed_driver(monkeypatch, None):
        expected = "failed to register CUDA shared memory region: 'c', GPUs not supported"
        with pytest.raises(InvalidArgument, match=expected):
            await regions.register_cuda("c", bytes(64), 0, 16)


async def test_device_memory_is_known_to_every_gateway(
    regions: Regions, other: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = CudaDriver({bytes(64): bytearray(b"0123456789")})
    with installed_driver(monkeypatch, driver):
        await regions.register_cuda("c", bytes(64), 0, 10)
        assert content(regions, "c") == content(other, "c") == b"0123"
        assert [(entry.name, entry.device_id) for entry in await other.status(Kind.CUDA, "")] == [("c", 0)]
        assert driver.open_count == 2
        await other.unregister(Kind.CUDA, "c")
        # The thread that has opened one may not have let go of it yet.
        await eventually(lambda: driver.open_count == 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [("", "'region name' is necessary to register system shared memory region"), ("x" * 1025, "1024 bytes at most")],
)
async def test_a_name_has_some_characters(regions: Regions, file: ClientFile, name: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        await regions.register_system(name, file.key, 0, 4)


async def test_the_number_of_regions_is_bounded(shared: LocalShared, regions: Regions, file: ClientFile) -> None:
    for number in range(REGION_LIMIT):
        entry = RegionEntry(f"r{number}", Kind.SYSTEM, 1, "elsewhere")
        await shared.create(f"regions/r{number}", region_entry.encode(entry))
    with pytest.raises(Unavailable, match=f"there are {REGION_LIMIT} of them"):
        await regions.register_system("one more", file.key, 0, 4)


async def test_what_cannot_be_opened_is_not_registered(shared: LocalShared, regions: Regions) -> None:
    with pytest.raises(InternalError, match="Unable to open shared memory region: '/none'"):
        await regions.register_system("r", "/none", 0, 4)
    assert shared.values == {}


async def test_a_gateway_on_another_host_says_so(shared: LocalShared, regions: Regions, file: ClientFile) -> None:
    await regions.register_system("r", file.key, 0, 4)
    with segment_folder() as elsewhere:
        ClientFile("client", b"0123456789", elsewhere)
        distant = Regions(shared, is_allowed=True, folder=elsewhere)
        shared.tell_all()
        with pytest.raises(Unavailable, match=r"'r' is registered, but this gateway cannot use it: .* another host"):
            distant.part("r", 0, 4)
        assert await listed(distant) == [("r", "/client", 0, 4)]


async def test_a_gateway_that_starts_later_opens_what_is_registered(
    shared: LocalShared, regions: Regions, file: ClientFile, folder: Path
) -> None:
    await regions.register_system("r", file.key, 0, 4)
    newcomer = Regions(shared, is_allowed=True, folder=folder)
    shared.tell_all()
    assert content(newcomer, "r") == b"0123"


async def test_a_gateway_that_starts_later_does_not_take_another_file_for_the_region(
    shared: LocalShared, regions: Regions, file: ClientFile, folder: Path
) -> None:
    for name, becomes in (("gone", "Unable to open"), ("replaced", "another object has the key '/replaced' by now")):
        made = ClientFile(name, b"0123456789", folder)
        await regions.register_system(name, made.key, 0, 4)
        made.path.rename(folder / f"{name}-away")
        if name == "replaced":
            ClientFile(name, b"9876543210", folder)
        newcomer = Regions(shared, is_allowed=True, folder=folder)
        held = regions.part(name, 0, 4)
        shared.tell_all()
        assert bytes(held.read()) == b"0123"
        with pytest.raises(Unavailable, match=becomes):
            newcomer.part(name, 0, 4)
