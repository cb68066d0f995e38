from __future__ import annotations

import subprocess
import sys

import pytest

BUS_FIRST = "import shoal.bus.link, sys; assert 'aiohttp' not in sys.modules; import aiohttp; print(aiohttp.__name__)"
AIOHTTP_FIRST = "import aiohttp, shoal.bus.link, sys; print(sys.modules['aiohttp'].__name__)"


@pytest.mark.parametrize("program", [BUS_FIRST, AIOHTTP_FIRST], ids=["bus first", "aiohttp first"])
def test_the_bus_neither_loads_aiohttp_nor_keeps_it_from_a_model(program: str) -> None:
    pytest.importorskip("aiohttp")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "aiohttp\n"
