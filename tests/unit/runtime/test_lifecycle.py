from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from shoal.runtime.lifecycle import Lifecycle


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    loop = asyncio.get_running_loop()
    lifecycle = Lifecycle()
    lifecycle.install(loop)
    try:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(lifecycle.stopping.wait(), 5)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGINT)


def test_the_second_signal_ends_the_process() -> None:
    program = """
import asyncio, os, signal
from shoal.runtime.lifecycle import Lifecycle

async def main():
    lifecycle = Lifecycle()
    lifecycle.install(asyncio.get_running_loop())
    os.kill(os.getpid(), signal.SIGTERM)
    await lifecycle.stopping.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(20)

asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=20).returncode == 1
