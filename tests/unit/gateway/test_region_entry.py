from __future__ import annotations

import msgpack
import pytest

from shoal.core.errors import InternalError
from shoal.gateway.region_entry import Kind, RegionEntry, decode, encode


@pytest.mark.parametrize(
    "entry",
    [
        RegionEntry("r", Kind.SYSTEM, 64, "host", key="/k", offset=8, file=(26, 2**40)),
        RegionEntry("r\u00e9", Kind.CUDA, 2**40, "host", device_id=3, handle=bytes(range(64))),
    ],
)
def test_an_entry_is_the_same_after_its_way(entry: RegionEntry) -> None:
    assert decode(encode(entry)) == entry


def test_an_entry_of_another_release_is_refused() -> None:
    with pytest.raises(InternalError, match="region entry of schema 9, expected 1"):
        decode(msgpack.packb((9, "r")))
