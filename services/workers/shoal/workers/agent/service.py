"""The shell of the agent: bus, desired state and executor processes in, the planner's actions out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from shoal.bus import Bus, HeartbeatBody, View
from shoal.core.desired import decode_model
from shoal.core.errors import ShoalError, from_wire
from shoal.core.messages import DescribeModel
from shoal.telemetry.logs import get_logger
from shoal.workers.agent.describer import Describer
from shoal.workers.agent.events import (
    Action,
    EntryChanged,
    Event,
    Executed,
    ExecutorExited,
    ExecutorUp,
    Finished,
    InstanceLoaded,
    InstanceLoadFailed,
    InstanceUnloaded,
    KillExecutor,
    LoadInstance,
    Publish,
    Spawn,
    StopExecutor,
    StopRequested,
    Tick,
    UnloadInstance,
    WakeAt,
)
from shoal.workers.agent.executor_process import ExecutorProcess
from shoal.workers.agent.instances import PlannedInstance
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.agent.planner import UNLOAD_TIMEOUT_S, Planner
from shoal.workers.agent.status_log import StatusLog
from shoal.workers.agent.watch import CHECK_INTERVAL_S
from shoal.workers.control import ControlMessage, Hello, Load, Loaded, LoadFailed, Stop, Unload, Unloaded

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
        self._executor_environment = executor_environment
        self._loop = asyncio.get_running_loop()
        self._planner = Planner(backends, load_limit)
        self._describer = Describer(bus, backends)
        self._executors: dict[int, ExecutorProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changes = StatusLog()
        self._finished = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow desired state until `stopping`, then drain: executors finish what they have and finalize."""
        self._bus.body = self._body
        self._bus.on(DescribeModel, self._describer.accept)
        await self._bus.start()
        view = await View.open(self._bus, "desired", on_change=self._on_entry)
        watching = self._loop.create_task(self._watch())
        stop = self._loop.create_task(stopping.wait())
        try:
            await asyncio.wait({watching, stop}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                # Without its watch an agent is blind: what ended it ends the process, to be started anew.
                watching.result()
            await self._drain()
        finally:
            watching.cancel()
            stop.cancel()
            await view.close()
            await self._describer.close()
            await self._end_executors()

    async def _drain(self) -> None:
        self._handle(StopRequested())
        try:
            await asyncio.wait_for(self._finished.wait(), UNLOAD_TIMEOUT_S + _DRAIN_GRACE_S)
        except TimeoutError:
            _log.error("drain took too long", executors=len(self._executors))

    async def _end_executors(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _body(self) -> HeartbeatBody:
        return HeartbeatBody(backends=tuple(self._backends), instances=self._planner.statuses())

    def _on_entry(self, key: str, value: bytes | None, _revision: int) -> None:
        try:
            entry = None if value is None else decode_model(value)
        except ShoalError as error:
            _log.error("entry of desired state not read", model=key, why=error.message)
            return
        self._handle(EntryChanged(key, entry))

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
                self._spawn(number, backend)
            case LoadInstance(number, slot, instance):
                self._send(number, _load(slot, instance))
            case UnloadInstance(number, slot):
                self._send(number, Unload(slot))
            case StopExecutor(number):
                self._send(number, Stop())
            case KillExecutor(number):
                self._kill(number, "being killed, since it was not ready, or not finished, in time")
            case WakeAt(at):
                self._loop.call_at(at, self._wake, at)
            case Publish():
                self._bus.beat()
                self._changes.note(self._planner.statuses())
            case Finished():
                self._finished.set()

    def _spawn(self, number: int, backend: str) -> None:
        entry_point = self._backends[backend].entry_point
        process = ExecutorProcess(number, entry_point, self._executor_environment, self._hear)
        self._executors[number] = process
        task = self._loop.create_task(self._live(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, process: ExecutorProcess) -> None:
        exited: ExecutorExited = await process.run()
        del self._executors[process.number]
        _log.info("executor ended", executor=process.number, cause=exited.cause)
        self._handle(exited)

    def _send(self, number: int, message: ControlMessage) -> None:
        process = self._executors.get(number)
        if process is not None:
            process.send(message)

    def _kill(self, number: int, cause: str) -> None:
        process = self._executors.get(number)
        if process is not None:
            process.kill(cause)

    def _hear(self, process: ExecutorProcess, message: ControlMessage) -> None:
        number = process.number
        match message:
            case Hello(incarnation):
                self._handle(ExecutorUp(number, incarnation))
            case Loaded(slot):
                self._handle(InstanceLoaded(number, slot))
            case LoadFailed(slot, code, text):
                self._handle(InstanceLoadFailed(number, slot, from_wire((code, text)).reason()))
            case Unloaded(slot):
                self._handle(InstanceUnloaded(number, slot))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            for process in list(self._executors.values()):
                self._check(process)

    def _check(self, process: ExecutorProcess) -> None:
        executed = process.newly_executed()
        if executed:
            self._handle(Executed(process.number, executed))
        if process.is_hung(self._planner.may_be_silent(process.number)):
            _log.warning("executor hung", executor=process.number)
            process.kill("being killed, since it was idle and did not answer")
        process.ping()


def _load(slot: int, instance: PlannedInstance) -> Load:
    model, version, generation, name = instance.key
    entry = instance.entry
    config = entry.versions[version].config
    kind, device_id = instance.spec.kind, instance.spec.device_id
    return Load(slot, model, version, generation, entry.path, config, entry.backend_config, name, kind, device_id)
