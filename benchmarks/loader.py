"""A closed-loop HTTP loader: each connection sends its next request when the answer to the last one is there."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple


class Load(NamedTuple):
    """What to send: `body` to `path` of `host:port`, over `concurrency` connections, for `seconds`; `headers` are whole
    lines beside Host and Content-Length."""

    host: str
    port: int
    path: str
    body: bytes
    concurrency: int
    seconds: float
    headers: tuple[str, ...] = ()


class Figures(NamedTuple):
    """What came back. Latencies are in milliseconds; `failed` counts answers that were not 200."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def run(load: Load) -> Figures:
    """Send the load and measure it. Raises ConnectionError when the server cannot be reached or closes a connection."""
    try:
        return asyncio.run(_run(load))
    except* (OSError, asyncio.IncompleteReadError) as lost:
        text = f"lost {len(lost.exceptions)} of {load.concurrency} connections to {load.host}:{load.port}"
        raise ConnectionError(text) from lost


async def _run(load: Load) -> Figures:
    latencies_ns: list[int] = []
    failures: list[int] = []
    started = time.perf_counter()
    deadline = started + load.seconds
    async with asyncio.TaskGroup() as connections:
        for _ in range(load.concurrency):
            connections.create_task(_connection(load, deadline, latencies_ns, failures))
    elapsed_s = time.perf_counter() - started
    latencies_ns.sort()
    return Figures(
        len(latencies_ns) / elapsed_s, _percentile_ms(latencies_ns, 50), _percentile_ms(latencies_ns, 99), len(failures)
    )


async def _connection(load: Load, deadline: float, latencies_ns: list[int], failures: list[int]) -> None:
    reader, writer = await asyncio.open_connection(load.host, load.port)
    lines = (f"POST {load.path} HTTP/1.1", f"Host: {load.host}", f"Content-Length: {len(load.body)}", *load.headers)
    request = "".join(f"{line}\r\n" for line in (*lines, "")).encode() + load.body
    try:
        while time.perf_counter() < deadline:
            sent_ns = time.perf_counter_ns()
            writer.write(request)
            status = await _read_answer(reader)
            latencies_ns.append(time.perf_counter_ns() - sent_ns)
            if status != 200:
                failures.append(status)
    finally:
        writer.close()
        await writer.wait_closed()


async def _read_answer(reader: asyncio.StreamReader) -> int:
    """Read one answer with a known length; returns its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1])


def _percentile_ms(sorted_ns: list[int], percent: int) -> float:
    if not sorted_ns:
        return 0.0
    return sorted_ns[min(len(sorted_ns) - 1, len(sorted_ns) * percent // 100)] / 1e6
