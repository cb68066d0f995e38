from __future__ import annotations

import re
from pathlib import Path

import pytest

from client_files import ClientFile
from shoal.core.errors import InvalidArgument
from shoal.gateway.region_part import RegionPart
from shoal.memory.client_region import ClientRegion


@pytest.fixture
def region(tmp_path: Path) -> ClientRegion:
    return ClientRegion.open("r", ClientFile("f", bytes(range(64)), tmp_path).key, 0, 64, tmp_path)


def test_a_part_reads_and_writes_its_bytes_only(region: ClientRegion) -> None:
    part = RegionPart(region, 60, 4)
    part.write(b"ab")
    assert (len(part), bytes(part.read())) == (4, b"ab\x3e\x3f")


def test_no_bytes_are_a_part_except_at_the_very_start(region: ClientRegion) -> None:
    assert len(RegionPart(region, 4, 0)) == 0


# The texts are Triton's.
@pytest.mark.parametrize(
    ("offset", "nbytes", "text"),
    [
        (64, 0, "Invalid offset for shared memory region: 'r'"),
        (-1, 4, "Invalid offset for shared memory region: 'r'"),
        (60, 5, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, 0, "Invalid offset + byte size for shared memory region: 'r'"),
        (8, -4, "Invalid offset + byte size for shared memory region: 'r'"),
        (0, 2**64 - 1, "Invalid offset + byte size for shared memory region: 'r'"),
    ],
)
def test_what_is_not_in_the_region_is_no_part(region: ClientRegion, offset: int, nbytes: int, text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        RegionPart(region, offset, nbytes)
