"""An open-loop HTTP load: requests are sent when they are due, whatever became of those before.

Arrivals are a Poisson process. A request takes an idle connection or a new one; its time counts from when it was due,
so that a generator or a server that falls behind is seen (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

#: An answer that takes longer counts as none, and is NO_ANSWER then.
_ANSWER_WITHIN_S = 30.0
NO_ANSWER = 0


class Target(NamedTuple):
    """Where to send what: a whole HTTP request."""

    host: str
    port: int
    request: bytes


def post(host: str, port: int, path: str, body: bytes) -> Target:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    return Target(host, port, head.encode() + body)


@dataclass
class Answers:
    """What came back: `latencies_s` of the answers with 200 in the order of their requests, how many of each status,
    how many refusals (429) said when to come again, and how late the generator itself was at worst."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    with_retry_after: int = 0
    worst_lag_s: float = 0.0

    @property
    def accepted(self) -> int:
        return self.statuses[200]

    def percentile_ms(self, percent: float) -> float:
        ordered = sorted(self.latencies_s) or [0.0]
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3


async def send(target: Target, per_second: float, seconds: float, seed: int = 1) -> Answers:
    """Send this load and wait for what is left of it."""
    answers, connections = Answers(), _Connections(target)
    draw, begun = random.Random(seed), time.perf_counter()
    due, tasks = begun, set[asyncio.Task[None]]()
    while (due := due + draw.expovariate(per_second)) < begun + seconds:
        delay_s = due - time.perf_counter()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        answers.worst_lag_s = max(answers.worst_lag_s, -delay_s)
        task = asyncio.create_task(_exchange(connections, due, answers))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.wait(tasks)
    connections.close()
    return answers


async def _exchange(connections: _Connections, due: float, answers: Answers) -> None:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            status, headers = await connections.ask()
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        status, headers = NO_ANSWER, {}
    answers.statuses[status] += 1
    if status == 200:
        answers.latencies_s.append(time.perf_counter() - due)
    answers.with_retry_after += status == 429 and "retry-after" in headers


class _Connections:
    """As many as are needed at the same time; idle ones are used again, the last one first."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> tuple[int, dict[str, str]]:
        """Status and headers of one exchange."""
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self._target.host, self._target.port)
        try:
            writer.write(self._target.request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head[0].split()[1]), headers

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
