from __future__ import annotations

import os
from pathlib import Path

import pytest

from client_files import ClientFile, descriptors_of
from shoal.core.errors import InternalError, InvalidArgument
from shoal.memory.client_region import ClientRegion


@pytest.fixture
def file(folder: Path) -> ClientFile:
    return ClientFile("client", bytes(range(100)), folder)


def opened(key: str, folder: Path, offset: int = 0, nbytes: int = 1) -> ClientRegion:
    return ClientRegion.open("r", key, offset, nbytes, folder)


def test_bytes_are_read_and_written_behind_the_region_s_offset(file: ClientFile, folder: Path) -> None:
    region = opened(file.key, folder, 10, 80)
    memory = memoryview(bytearray(4))
    region.read_into(memory, 20)
    assert bytes(memory) == bytes([30, 31, 32, 33])
    region.write(b"abc", 70)
    assert file.read() == bytes(range(80)) + b"abc" + bytes(range(83, 100))


@pytest.mark.parametrize("key", ["client", "/client", "//client"])
def test_slashes_in_front_do_not_count(file: ClientFile, folder: Path, key: str) -> None:
    assert opened(key, folder).nbytes == 1


@pytest.mark.parametrize("key", ["", "/", "..", "/..", ".", "/../client", "sub/client", "/none", "a\0b", "x" * 256])
def test_what_is_no_object_of_the_folder_is_not_opened(file: ClientFile, folder: Path, key: str) -> None:
    (folder / "sub").mkdir()
    ClientFile("client", b"x", folder / "sub")
    with pytest.raises(InternalError, match="Unable to open shared memory region: '"):
        opened(key, folder)


def test_links_folders_and_pipes_are_not_opened(file: ClientFile, folder: Path) -> None:
    (folder / "link").symlink_to(file.path)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    for key in ("/link", "/folder", "/pipe"):
        with pytest.raises(InternalError, match=f"Unable to open shared memory region: '{key}'"):
            opened(key, folder)
    assert descriptors_of(folder / "pipe") == 0


@pytest.mark.parametrize("name", ["triton_python_backend_shm_region_1", "shoal-agent-1", "shoal-host-0"])
def test_memory_of_servers_is_nobody_s_region(folder: Path, name: str) -> None:
    key = ClientFile(name, b"x", folder).key
    with pytest.raises(InvalidArgument, match=f"cannot register shared memory region 'r' with key '{key}' as the key"):
        opened(key, folder)


@pytest.mark.parametrize(("offset", "nbytes"), [(0, 101), (1, 100), (100, 1), (2**64 - 1, 2), (0, 0), (0, 2**64 - 1)])
def test_a_region_has_bytes_and_all_of_them_are_there(file: ClientFile, folder: Path, offset: int, nbytes: int) -> None:
    with pytest.raises(InvalidArgument, match="failed to register shared memory region 'r': invalid args"):
        opened(file.key, folder, offset, nbytes)
    assert descriptors_of(file.path) == 0


def test_a_file_that_the_client_has_shrunk_is_told(file: ClientFile, folder: Path) -> None:
    region = opened(file.key, folder, 10, 80)
    file.shrink(40)
    expected = (
        "shared memory region 'r' has shrunk: 20 bytes at offset 25 were asked for, and of the 80 bytes that were "
        "registered 30 are there"
    )
    with pytest.raises(InvalidArgument, match=expected):
        region.read_into(memoryview(bytearray(20)), 25)
    with pytest.raises(InvalidArgument, match=expected):
        region.write(bytes(20), 25)
    assert len(file.read()) == 40


def test_the_descriptor_is_closed_with_the_last_reference(file: ClientFile, folder: Path) -> None:
    region = opened(file.key, folder, 0, 100)
    in_use = region
    del region
    file.remove()
    memory = memoryview(bytearray(3))
    in_use.read_into(memory, 0)
    assert bytes(memory) == b"\0\1\2"
    assert descriptors_of(file.path) == 1
    del in_use
    assert descriptors_of(file.path) == 0


def test_the_same_key_may_be_another_file(file: ClientFile, folder: Path) -> None:
    before, again = opened(file.key, folder), opened(file.key, folder)
    file.path.rename(folder / "away")
    ClientFile("client", b"x", folder)
    assert before.file == again.file
    assert opened(file.key, folder).file != before.file
