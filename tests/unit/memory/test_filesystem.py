from __future__ import annotations

import pytest

from shoal.memory.filesystem import size_text


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (2**20 - 1, "1 MiB"),
        (640 * 1024, "640 KiB"),
        (5 * 2**30, "5 GiB"),
        (2**45, "32 TiB"),
        (2**60, "1048576 TiB"),
    ],
)
def test_sizes_are_as_people_read_them(nbytes: int, text: str) -> None:
    assert size_text(nbytes) == text
