"""Buses and views that are closed at the end of their test."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from shoal.bus import Bus, BusSettings, View

if TYPE_CHECKING:
    from broker_process import Broker

WAIT_S = 15.0
PEER = Path(__file__).parent / "programs" / "peer.py"


class Until(Protocol):
    """Wait for a condition, at most a generous while."""

    async def __call__(self, condition: Callable[[], object], timeout_s: float = WAIT_S) -> None: ...


class Buses:
    """Makes buses and views against the test's broker."""

    def __init__(self, settings: BusSettings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack

    async def connect(self, role: str, listen_to: tuple[str, ...] = ()) -> Bus:
        """Connected; `start` is the test's."""
        bus = await Bus.connect(self._settings, role, listen_to)
        self._stack.push_async_callback(bus.close)
        return bus

    def at_end(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await `callback()` when the test ends, before what was made earlier is closed."""
        self._stack.push_async_callback(callback)

    async def started(self, role: str, listen_to: tuple[str, ...] = ()) -> Bus:
        bus = await self.connect(role, listen_to)
        await bus.start()
        return bus

    async def view(
        self,
        bus: Bus,
        bucket: str,
        on_change: Callable[[str, bytes | None, int], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> View:
        view = await View.open(bus, bucket, on_change, on_lost)
        self._stack.push_async_callback(view.close)
        return view


class Program:
    """Runs processes of `programs/peer.py`; they end with the test."""

    def __init__(self, settings: BusSettings, directory: Path) -> None:
        self._settings = settings
        self._directory = directory
        self._processes: list[subprocess.Popen[bytes]] = []

    def __call__(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        with self._output(len(self._processes)).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(PEER), self._settings.url, self._settings.token or "", role, *options],
                stdout=output,
            )
        self._processes.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes], word: str) -> bool:
        """Whether the process has printed this word."""
        return word in self._output(self._processes.index(process)).read_text().split()

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _output(self, number: int) -> Path:
        return self._directory / f"peer-{number}.out"


@pytest.fixture
def program(broker: Broker, tmp_path: Path) -> Iterator[Program]:
    program = Program(broker.settings(), tmp_path)
    yield program
    program.end()


@pytest.fixture
async def buses(broker: Broker) -> AsyncIterator[Buses]:
    async with AsyncExitStack() as stack:
        yield Buses(broker.settings(), stack)


@pytest.fixture
def until() -> Until:
    """`await until(condition)`."""

    async def wait(condition: Callable[[], object], timeout_s: float = WAIT_S) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, "the condition did not come true in time"
            await asyncio.sleep(0.01)

    return wait
