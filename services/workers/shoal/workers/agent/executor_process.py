"""One executor as the agent holds it: the process, its control pipe, its board, its last output."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping

from shoal.core.messages import EndedExecutor
from shoal.telemetry.logs import get_logger
from shoal.workers import board, control
from shoal.workers.agent.children import command, environment
from shoal.workers.agent.endings import exit_text, killed_text
from shoal.workers.agent.events import Event, Executed, ExecutorExited, Worn
from shoal.workers.agent.execution_clock import ExecutionClock
from shoal.workers.agent.instances import PlannedInstance
from shoal.workers.agent.limits import timed_out_text, timeouts_s, worn_text
from shoal.workers.agent.out_of_memory import OutOfMemoryKills
from shoal.workers.agent.output import LastOutput
from shoal.workers.agent.process_files import ProcessFiles
from shoal.workers.agent.watch import CHECK_INTERVAL_S, SILENT_CHECKS, Health, Watch
from shoal.workers.board import Row
from shoal.workers.control import ControlMessage, Hello, LoadFailed, Ping, Pong, Unloaded

#: What the process started itself may keep its pipes open; they are not waited for any longer than this.
_PIPE_GRACE_S = 0.25
#: Why a process is killed that does not do what it should, and whom it is blamed on. Whoever stopped a process, it was
#: not its model. Of a silent one nobody knows whose thread it is that never lets go of the interpreter.
_REMEDIES: dict[Health, tuple[str, tuple[int, ...] | None]] = {
    Health.STOPPED: ("its process was stopped (SIGSTOP), so it was killed", ()),
    Health.SILENT: (f"it was idle and did not answer for {SILENT_CHECKS * CHECK_INTERVAL_S:.0f} s", None),
}

_log = get_logger("agent")


class ExecutorProcess:
    """`run` is the process's life, to be run as a task; it ends with the process. Messages of the executor go to
    `hear`. `check` is to be called once per `CHECK_INTERVAL_S`."""

    def __init__(
        self,
        number: int,
        entry_point: str,
        extra_environment: Mapping[str, str],
        out_of_memory: OutOfMemoryKills,
        hear: Callable[[ExecutorProcess, ControlMessage], None],
    ) -> None:
        self.number = number
        #: Who it is on the bus; empty until it has said hello.
        self.incarnation = ""
        self._entry_point = entry_point
        self._extra_environment = extra_environment
        self._out_of_memory = out_of_memory
        self._hear = hear
        self._process: Process | None = None
        self._files: ProcessFiles | None = None
        self._board: int | None = None
        self._kill_cause = ""
        self._culprits: tuple[int, ...] | None = None
        self._instances: dict[int, PlannedInstance] = {}
        self._returned: dict[int, int] = {}
        self._executing_batches: tuple[tuple[int, int], ...] = ()
        self._output = LastOutput()
        self._watch = Watch()
        self._clock = ExecutionClock()

    async def run(self) -> ExecutorExited:
        """Start the process and wait for its end; says how it ended. Cancelled, it kills the process."""
        try:
            try:
                process = await self._start()
            except OSError as error:
                _log.error("executor not started", executor=self.number, why=str(error))
                return ExecutorExited(self.number, f"it could not be started: {error}", "", (), (), ())
            code = await self._live(process)
            return self._exited(code)
        finally:
            self._close()

    def ended(self, exited: ExecutorExited) -> EndedExecutor:
        """What everybody has to know of its end."""
        return EndedExecutor(self.incarnation, exited.cause, self._executing_batches)

    def send(self, message: ControlMessage) -> None:
        """Queue a message; lost when the process is gone, which `run` tells."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(control.encode(message))

    def holds(self, slot: int, instance: PlannedInstance) -> None:
        """It was told to load this instance as number `slot`: its limits are watched from now on."""
        self._instances[slot] = instance

    def kill(self, cause: str, culprits: tuple[int, ...] | None = None) -> None:
        """End the process at once, even one that is only being started; one that has ended keeps its own cause.
        `culprits` as in `ExecutorExited`."""
        if self._process is not None and self._process.returncode is not None:
            return
        if not self._kill_cause:
            self._kill_cause, self._culprits = cause, culprits
            _log.warning("executor killed", executor=self.number, why=cause)
        if self._process is not None:
            self._process.kill()

    def check(self, may_be_silent: bool, missed_ns: int) -> list[Event]:
        """Judge how the process does, end it if it has to be, and tell what it has done; `may_be_silent` while it loads
        or unloads, `missed_ns` is the time since the last check beyond its interval when that was late, else 0."""
        if self._files is None:
            return []
        rows = self._rows()
        is_executing = any(row.is_executing for row in rows.values())
        self._clock.look(rows, missed_ns)
        self._end_overdue()
        health = self._watch.check(self._files.state(), may_be_silent or is_executing, missed_ns > 0)
        if health is not Health.WELL:
            self.kill(*_REMEDIES[health])
        if not self._watch.is_waiting:
            self._watch.asked()
            self.send(Ping())
        return [*self._executed(rows), *self._worn(rows, self._files)]

    async def _start(self) -> Process:
        self._board = board.create()
        process = await asyncio.create_subprocess_exec(
            *command("shoal.workers.executor", self._entry_point, str(self._board)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment(self._extra_environment),
            pass_fds=(self._board,),
        )
        self._process, self._files = process, ProcessFiles(process.pid)
        return process

    async def _live(self, process: Process) -> int:
        assert process.stdout is not None and process.stderr is not None
        readers = [
            asyncio.create_task(self._listen(process.stdout)),
            asyncio.create_task(self._output.follow(process.stderr)),
        ]
        try:
            if self._kill_cause:
                process.kill()
            code = await process.wait()
            await asyncio.wait(readers, timeout=_PIPE_GRACE_S)
            return code
        finally:
            if process.returncode is None:
                process.kill()
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _listen(self, stdout: asyncio.StreamReader) -> None:
        try:
            while (message := await control.read(stdout)) is not None:
                if isinstance(message, Pong):
                    self._watch.answered()
                    continue
                if isinstance(message, Hello):
                    self.incarnation = message.incarnation
                elif isinstance(message, Unloaded | LoadFailed):
                    self._instances.pop(message.slot, None)
                self._hear(self, message)
        except Exception:
            # Nobody would hear this process any more: whatever happened, it has to start anew.
            _log.exception("executor not understood", executor=self.number)
            self.kill("its messages were not understood")

    def _exited(self, code: int) -> ExecutorExited:
        rows = self._rows()
        executing = {slot: row for slot, row in rows.items() if row.is_executing}
        self._executing_batches = tuple((row.epoch, row.batch_id) for row in executing.values())
        executed = self._newly_executed(rows)
        culprits = () if code == control.EXIT_NO_BROKER else self._culprits
        return ExecutorExited(self.number, self._cause(code), self._output.text(), tuple(executing), executed, culprits)

    def _cause(self, code: int) -> str:
        if self._kill_cause:
            return self._kill_cause
        if code == -signal.SIGKILL:
            return killed_text(self._out_of_memory.has_grown())
        return exit_text(code)

    def _end_overdue(self) -> None:
        timeouts = timeouts_s(self._instances)
        if not timeouts or not self._clock.overdue(timeouts, time.monotonic_ns()):
            return
        # A row may be read while it is written: half of it would be the execution before. So look twice.
        self._clock.look(self._rows(), 0)
        slots = self._clock.overdue(timeouts, time.monotonic_ns())
        if slots:
            self.kill(timed_out_text(self._instances[slots[0]]), slots)

    def _rows(self) -> dict[int, Row]:
        return {} if self._board is None else board.read(self._board)

    def _newly_executed(self, rows: Mapping[int, Row]) -> tuple[int, ...]:
        """The slots that an execution came back from since the last call."""
        grown = tuple(slot for slot, row in rows.items() if row.returned > self._returned.get(slot, 0))
        self._returned = {slot: row.returned for slot, row in rows.items()}
        return grown

    def _executed(self, rows: Mapping[int, Row]) -> list[Event]:
        slots = self._newly_executed(rows)
        return [Executed(self.number, slots)] if slots else []

    def _worn(self, rows: Mapping[int, Row], files: ProcessFiles) -> list[Event]:
        events: list[Event] = []
        for slot, instance in self._instances.items():
            why = worn_text(instance, rows[slot].returned if slot in rows else 0, files.own_nbytes)
            if why:
                events.append(Worn(self.number, slot, why))
        return events

    def _close(self) -> None:
        if self._files is not None:
            self._files.close()
        if self._board is not None:
            os.close(self._board)
            self._board = None
