"""The executors that run, as the planner wants them: started, told, watched and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Mapping

from shoal.core.errors import from_wire
from shoal.core.messages import EndedExecutor
from shoal.telemetry.logs import get_logger
from shoal.workers.agent.ended import EndedExecutors
from shoal.workers.agent.events import (
    Event,
    ExecutorExited,
    ExecutorUp,
    InstanceLoaded,
    InstanceLoadFailed,
    InstanceUnloaded,
)
from shoal.workers.agent.executor_process import ExecutorProcess
from shoal.workers.agent.instances import PlannedInstance
from shoal.workers.agent.out_of_memory import OutOfMemoryKills
from shoal.workers.agent.watch import CHECK_INTERVAL_S, LATE_AFTER_S
from shoal.workers.control import ControlMessage, Hello, Load, Loaded, LoadFailed, Unloaded

_log = get_logger("agent")


class Executors:
    """By number, from `spawn` until `handle` is told of their exit; all on the event loop's thread."""

    def __init__(self, environment: Mapping[str, str], handle: Callable[[Event], None]) -> None:
        self._environment = environment
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._running: dict[int, ExecutorProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = EndedExecutors()
        self._out_of_memory = OutOfMemoryKills()
        #: Called when an executor has ended, before `handle` is.
        self.on_end: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, number: int, entry_point: str) -> None:
        process = ExecutorProcess(number, entry_point, self._environment, self._out_of_memory, self._hear)
        self._running[number] = process
        task = self._loop.create_task(self._live(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def load(self, number: int, slot: int, instance: PlannedInstance) -> None:
        if number in self._running:
            self._running[number].holds(slot, instance)
            self.send(number, _load(slot, instance))

    def send(self, number: int, message: ControlMessage) -> None:
        if number in self._running:
            self._running[number].send(message)

    def kill(self, number: int, cause: str) -> None:
        if number in self._running:
            self._running[number].kill(cause)

    def ended(self) -> tuple[EndedExecutor, ...]:
        """Those of the last seconds, for the heartbeat."""
        return self._ended.recent(self._loop.time())

    async def watch(self, excused: Callable[[], Container[int]]) -> None:
        """Check every executor again and again, until cancelled; those that are `excused` need not answer."""
        checked_at = self._loop.time()
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            elapsed_s, checked_at = self._loop.time() - checked_at, self._loop.time()
            missed_s = elapsed_s - CHECK_INTERVAL_S if elapsed_s > LATE_AFTER_S else 0.0
            silent = excused()
            for process in list(self._running.values()):
                for event in process.check(process.number in silent, int(missed_s * 1e9)):
                    self._handle(event)
            self._out_of_memory.look()

    async def close(self) -> None:
        """Kill what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _live(self, process: ExecutorProcess) -> None:
        try:
            exited = await process.run()
        except Exception:  # the process is dead in any case, and the planner has to know
            _log.exception("executor lost", executor=process.number)
            exited = ExecutorExited(process.number, "it could not be watched any more", "", (), (), ())
        del self._running[process.number]
        _log.info("executor ended", executor=process.number, cause=exited.cause)
        if process.incarnation:
            self._ended.note(process.ended(exited), self._loop.time())
        self.on_end()
        self._handle(exited)

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


def _load(slot: int, instance: PlannedInstance) -> Load:
    model, version, generation, name = instance.key
    entry = instance.entry
    config = entry.versions[version].config
    kind, device_id = instance.spec.kind, instance.spec.device_id
    return Load(slot, model, version, generation, entry.path, config, entry.backend_config, name, kind, device_id)
