"""The repository service: of several repositories one owns desired state, the others stand by."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Any

from shoal.bus import Bus, HeartbeatBody, Ownership, View
from shoal.repository.agents import Agents
from shoal.repository.publisher import Publisher
from shoal.repository.settings import RepositorySettings
from shoal.repository.tenure import Tenure

OWNERSHIP_KEY = "repository"


class RepositoryService:
    """Construct before `bus.start()`; `run` does everything else."""

    def __init__(self, bus: Bus, settings: RepositorySettings) -> None:
        self._bus = bus
        self._settings = settings
        self._agents = Agents(bus)
        self._epoch: int | None = None
        self._tenure: asyncio.Task[None] | None = None
        self._trouble: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._desired: Publisher
        self._status: Publisher
        bus.body = self._body

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set. Raises what ended the service unexpectedly."""
        await self._bus.start()
        async with AsyncExitStack() as stack:
            self._desired = await self._open_publisher(stack, "desired")
            self._status = await self._open_publisher(stack, "repository")
            view = await View.open(self._bus, "ownership")
            stack.push_async_callback(view.close)
            ownership = Ownership(self._bus, view, OWNERSHIP_KEY, on_gain=self._on_gain, on_loss=self._on_loss)
            stack.push_async_callback(ownership.release)
            stack.push_async_callback(self._end_tenure)
            await ownership.start()
            await self._wait(stopping)

    async def _open_publisher(self, stack: AsyncExitStack, bucket: str) -> Publisher:
        publisher = await Publisher.open(self._bus, bucket)
        stack.push_async_callback(publisher.close)
        publisher.writing.add_done_callback(self._on_end)
        return publisher

    async def _wait(self, stopping: asyncio.Event) -> None:
        stopped: asyncio.Future[bool] = asyncio.ensure_future(stopping.wait())
        either: list[asyncio.Future[Any]] = [stopped, self._trouble]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self._trouble.done():
            raise self._trouble.result()

    def _body(self) -> HeartbeatBody:
        return HeartbeatBody(owned={} if self._epoch is None else {OWNERSHIP_KEY: self._epoch})

    def _on_gain(self, epoch: int) -> None:
        # A higher epoch while we own already: the store was lost. The publishers write everything again by themselves.
        is_new = self._epoch is None
        self._epoch = epoch
        if is_new:
            tenure = Tenure(self._agents, self._settings, self._desired, self._status)
            self._tenure = asyncio.create_task(tenure.run(), name="tenure")
            self._tenure.add_done_callback(self._on_end)
        self._bus.beat()

    def _on_loss(self) -> None:
        self._epoch = None
        if self._tenure is not None:
            self._tenure.cancel()
        for publisher in (self._desired, self._status):
            publisher.forget()

    def _on_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._trouble.done():
            self._trouble.set_result(error)

    async def _end_tenure(self) -> None:
        self._epoch = None
        if self._tenure is not None:
            self._tenure.cancel()
            await asyncio.wait({self._tenure})


def missing_repositories(settings: RepositorySettings) -> tuple[str, ...]:
    """Paths among the repositories that are no directories."""
    return tuple(path for path in settings.repositories if not os.path.isdir(path))
