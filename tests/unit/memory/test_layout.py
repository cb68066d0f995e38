from __future__ import annotations

import pytest

from shoal.memory.layout import (
    Header,
    data_offset,
    decode_header,
    is_owner_name,
    is_retired,
    owner_of,
    segment_name,
    segment_nbytes,
    write_alive_at,
    write_retired,
)

HEADER = Header(4711, 1000.5, 1001.5, False, 8192, 100, data_offset(100), "gateway-0a1b", "server-1")


def test_a_header_survives_the_file() -> None:
    assert decode_header(HEADER.encode(), HEADER.segment_nbytes) == HEADER


def test_fields_that_change_are_written_in_place() -> None:
    data = bytearray(HEADER.encode())
    write_alive_at(memoryview(data), 2000.25)
    write_retired(memoryview(data))
    changed = HEADER._replace(alive_at=2000.25, is_retired=True)
    assert decode_header(bytes(data), HEADER.segment_nbytes) == changed
    assert is_retired(memoryview(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEADER.encode()[:100],
        b"X" + HEADER.encode()[1:],
        HEADER.encode()[:8] + b"\x63" + HEADER.encode()[9:],
        HEADER._replace(block_nbytes=0).encode(),
        HEADER._replace(block_count=0).encode(),
        HEADER._replace(data_offset=64).encode(),
    ],
)
def test_what_is_no_header_of_this_version_is_none(data: bytes) -> None:
    assert decode_header(data, HEADER.segment_nbytes) is None


def test_a_file_shorter_than_its_header_says_is_none() -> None:
    assert decode_header(HEADER.encode(), HEADER.segment_nbytes - 1) is None


def test_blocks_start_behind_the_table_at_a_pages_border() -> None:
    assert [data_offset(count) for count in (1, 60, 61, 1000)] == [4096, 4096, 8192, 65536]
    assert segment_nbytes(8192, 61) == 8192 + 61 * 8192


def test_a_name_tells_the_owner() -> None:
    assert owner_of(segment_name("gateway-0a1b", 12)) == "gateway-0a1b"
    for name in ("shoal-host", "shoal--1", "other-1", "shoal-a/b-1", "shoal-a-1.bak", "shoal-a-"):
        assert owner_of(name) is None


def test_owners_are_safe_in_file_names() -> None:
    assert is_owner_name("executor-0123456789ab")
    assert not is_owner_name("a/b")
    assert not is_owner_name("")
    assert not is_owner_name("x" * 65)
