"""What the three broker hops of a request cost at least: `python benchmarks/broker_trips.py [--seconds 3] [--json]`.

A message of 200 bytes goes from one process over two others back to the first, by `shoal.bus` on uvloop, as a request
goes from gateway to scheduler to executor and back; nothing else is done with it. Each trip that ends begins the next.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import uvloop

from process_cpu import processes, used_s
from shoal.bus import Bus, BusSettings, Part, free_port, prepare_broker
from shoal.core.messages import V1, BatchDone
from shoal.runtime.parent_death import child_environment, die_with_parent
from shoal.runtime.settings import bus_settings, to_environment

#: With the header of the message and what the bus puts around it: about 200 bytes.
_PAYLOAD = bytes(180)
#: After the last trip began, the others must come home within this time.
_HOME_LIMIT_S = 10.0

#: By a piece of the command line; whoever called this is where messages begin.
_ROLES = {"--name second": "second", "--name third": "third", "nats-server": "broker", "": "first"}


class Trips(NamedTuple):
    """Round trips of `concurrency` messages at once. `cpu_us`: CPU microseconds per trip of the broker and of the
    processes, in the order in which a message meets them (`first`, `second`, `third`)."""

    concurrency: int
    per_second: float
    p50_ms: float
    cpu_us: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement (default 3)")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 64], help="trips at once")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--forward-to", help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.forward_to:
        die_with_parent()
        uvloop.run(_forward(arguments.forward_to))
        return
    for trips in measure_trips(arguments.concurrency, arguments.seconds):
        cpu = ", ".join(f"{role} {cpu_us:.0f}" for role, cpu_us in trips.cpu_us.items())
        text = f"{trips.concurrency:>3} at once: {trips.per_second:>7.0f}/s, p50 {trips.p50_ms:.2f} ms; CPU us: {cpu}"
        print(json.dumps(trips._asdict()) if arguments.json else text)


def measure_trips(concurrencies: list[int], seconds: float) -> list[Trips]:
    """One measurement of `seconds` for each number of messages at once. Raises OSError when a process does
    not start."""
    with tempfile.TemporaryDirectory() as folder, _broker(Path(folder)) as settings:
        return uvloop.run(_measure_all(settings, concurrencies, seconds))


async def _measure_all(settings: BusSettings, concurrencies: list[int], seconds: float) -> list[Trips]:
    bus = await Bus.connect(settings, "first")
    try:
        with _forwarder("third", bus.incarnation, settings) as third, _forwarder("second", third, settings) as second:
            traveller = _Traveller(bus, second)
            await bus.start()
            await traveller.run(1, 0.2)
            return [await _measure(traveller, concurrency, seconds) for concurrency in concurrencies]
    finally:
        await bus.close()


async def _measure(traveller: _Traveller, concurrency: int, seconds: float) -> Trips:
    before = processes(os.getpid(), _ROLES)
    began = time.perf_counter()
    latencies_ns = sorted(await traveller.run(concurrency, seconds))
    elapsed_s = time.perf_counter() - began
    used = used_s(before, processes(os.getpid(), _ROLES))
    count = len(latencies_ns)
    cpu_us = {role: round(used[role] * 1e6 / count, 1) for role in ("first", "second", "third", "broker")}
    return Trips(concurrency, count / elapsed_s, latencies_ns[count // 2] / 1e6, cpu_us)


class _Traveller:
    """Sends messages on their way and notes when they are back."""

    def __init__(self, bus: Bus, to: str) -> None:
        self._bus = bus
        self._to = to
        self._sent_ns: dict[int, int] = {}
        self._number = 0
        self._deadline_ns = 0
        self._latencies_ns: list[int] = []
        self._are_home = asyncio.Event()
        bus.on(BatchDone, self._on_back)

    async def run(self, concurrency: int, seconds: float) -> list[int]:
        """The nanoseconds of each trip. Raises TimeoutError when one gets lost."""
        self._latencies_ns = []
        self._are_home.clear()
        self._deadline_ns = time.perf_counter_ns() + int(seconds * 1e9)
        for _ in range(concurrency):
            self._send()
        async with asyncio.timeout(seconds + _HOME_LIMIT_S):
            await self._are_home.wait()
        return self._latencies_ns

    def _send(self) -> None:
        self._number += 1
        self._sent_ns[self._number] = time.perf_counter_ns()
        self._bus.send(self._to, BatchDone(V1, 1, self._number, 0), (_PAYLOAD,))

    def _on_back(self, _sender: str, message: BatchDone, _part: Part) -> None:
        now_ns = time.perf_counter_ns()
        self._latencies_ns.append(now_ns - self._sent_ns.pop(message.batch_id))
        if now_ns < self._deadline_ns:
            self._send()
        elif not self._sent_ns:
            self._are_home.set()


async def _forward(to: str) -> None:
    """Send on whatever comes, to the end of the process."""
    bus = await Bus.connect(bus_settings(argparse.Namespace(), os.environ), "forwarder")
    bus.on(BatchDone, lambda _sender, message, part: bus.send(to, message, (part.payload,)))
    await bus.start()
    print(bus.incarnation, flush=True)
    await bus.closed.wait()


@contextlib.contextmanager
def _broker(folder: Path) -> Iterator[BusSettings]:
    broker = prepare_broker(folder, free_port())
    argv = [sys.executable, "-m", "shoal.runtime.launch", "--", *broker.argv]
    with _child(argv, {}):
        yield broker.settings


@contextlib.contextmanager
def _forwarder(name: str, to: str, settings: BusSettings) -> Iterator[str]:
    """A process that sends on to the process `to`; yields its name on the bus."""
    argv = [sys.executable, __file__, "--name", name, f"--forward-to={to}"]
    with _child(argv, to_environment(settings)) as process:
        assert process.stdout is not None
        incarnation = process.stdout.readline().decode().strip()
        if not incarnation:
            raise OSError(f"the process '{name}' of the broker's round trips did not start")
        yield incarnation


@contextlib.contextmanager
def _child(argv: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(argv, env=child_environment(environment), stdout=pipe, stderr=none) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    main()
