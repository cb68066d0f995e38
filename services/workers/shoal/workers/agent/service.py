"""The shell of the agent: bus, desired state and executor processes in, the planner's actions out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from shoal.bus import Bus, HeartbeatBody, View
from shoal.core.desired import decode_model
from shoal.core.errors import ShoalError
from shoal.core.messages import DescribeModel
from shoal.telemetry.logs import get_logger
from shoal.workers.agent.describer import Describer
from shoal.workers.agent.events import (
    Action,
    EntryChanged,
    Event,
    Finished,
    KillExecutor,
    LoadInstance,
    Publish,
    RecyclingBegan,
    RecyclingFailed,
    Spawn,
    StopExecutor,
    StopRequested,
    Tick,
    UnloadInstance,
    WakeAt,
)
from shoal.workers.agent.executors import Executors
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.agent.planner import UNLOAD_TIMEOUT_S, Planner
from shoal.workers.agent.segments import SegmentSweeper
from shoal.workers.agent.status_log import StatusLog
from shoal.workers.control import Stop, Unload

#: What the drain may take beyond the executors' own deadline.
_DRAIN_GRACE_S = 5.0

_log = get_logger("agent")


class Agent:
    """One worker's agent. `run` is its life; everything happens on the event loop's thread."""

    def __init__(
        self,
        bus: Bus,
        backends: Mapping[str, BackendInfo],
        executor_environment: Mapping[str, str],
        load_limit: int,
    ) -> None:
        self._bus = bus
        self._backends = backends
        self._loop = asyncio.get_running_loop()
        self._planner = Planner(backends, load_limit)
        self._describer = Describer(bus, backends)
        self._segments = SegmentSweeper()
        self._executors = Executors(executor_environment, self._handle)
        self._executors.on_end = self._on_end
        self._log = StatusLog()
        self._finished = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow desired state until `stopping`, then drain: executors finish what they have and finalize."""
        self._bus.body = self._body
        self._bus.on(DescribeModel, self._describer.accept)
        await self._bus.start()
        view = await View.open(self._bus, "desired", on_change=self._on_entry)
        watching = self._loop.create_task(self._executors.watch(self._planner.excused))
        sweeping = self._loop.create_task(self._segments.run())
        stop = self._loop.create_task(stopping.wait())
        try:
            await asyncio.wait({watching, stop}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                # Without its watch an agent is blind: what ended it ends the process, to be started anew.
                watching.result()
            await self._drain()
        finally:
            for task in (watching, sweeping, stop):
                task.cancel()
            await view.close()
            await self._describer.close()
            await self._executors.close()

    async def _drain(self) -> None:
        self._handle(StopRequested())
        try:
            await asyncio.wait_for(self._finished.wait(), UNLOAD_TIMEOUT_S + _DRAIN_GRACE_S)
        except TimeoutError:
            _log.error("drain took too long", executors=len(self._executors))

    def _body(self) -> HeartbeatBody:
        return HeartbeatBody(
            backends=tuple(self._backends), instances=self._planner.statuses(), ended=self._executors.ended()
        )

    def _on_entry(self, key: str, value: bytes | None, _revision: int) -> None:
        try:
            entry = None if value is None else decode_model(value)
        except ShoalError as error:
            _log.error("entry of desired state not read", model=key, why=error.message)
            return
        self._handle(EntryChanged(key, entry))

    def _on_end(self) -> None:
        # In the same turn the planner drops its instances: one heartbeat tells both.
        self._bus.beat()
        self._segments.expect_dead()

    def _handle(self, event: Event) -> None:
        self._handle_at(event, self._loop.time())

    def _wake(self, at: float) -> None:
        # uvloop's timers may be a millisecond early, and its clock stands still within a turn.
        self._handle_at(Tick(), max(at, self._loop.time()))

    def _handle_at(self, event: Event, now: float) -> None:
        for action in self._planner.handle(event, now):
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Spawn(number, backend):
                self._executors.spawn(number, self._backends[backend].entry_point)
            case LoadInstance(number, slot, instance):
                self._executors.load(number, slot, instance)
            case UnloadInstance(number, slot):
                self._executors.send(number, Unload(slot))
            case StopExecutor(number):
                self._executors.send(number, Stop())
            case KillExecutor(number):
                self._executors.kill(number, "it was not ready, or not finished, in time")
            case WakeAt(at):
                self._loop.call_at(at, self._wake, at)
            case Publish():
                self._bus.beat()
                self._log.note(self._planner.statuses())
            case RecyclingBegan() | RecyclingFailed():
                self._log.note_recycling(action)
            case Finished():
                self._finished.set()
