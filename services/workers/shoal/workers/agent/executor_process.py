"""One executor as the agent holds it: the process, its control pipe, its board, its last output."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping

from shoal.telemetry.logs import get_logger
from shoal.workers import board, control
from shoal.workers.agent.children import command, environment
from shoal.workers.agent.crashes import exit_text
from shoal.workers.agent.events import ExecutorExited
from shoal.workers.agent.output import LastOutput
from shoal.workers.agent.watch import Watch
from shoal.workers.control import ControlMessage, Ping, Pong

#: What the process started itself may keep its pipes open; they are not waited for any longer than this.
_PIPE_GRACE_S = 1.0

_log = get_logger("agent")


class ExecutorProcess:
    """`run` is the process's life, to be run as a task; it ends with the process. Messages of the executor go to
    `hear`."""

    def __init__(
        self,
        number: int,
        entry_point: str,
        extra_environment: Mapping[str, str],
        hear: Callable[[ExecutorProcess, ControlMessage], None],
    ) -> None:
        self.number = number
        self._entry_point = entry_point
        self._extra_environment = extra_environment
        self._hear = hear
        self._process: Process | None = None
        self._kill_cause = ""
        self._board = board.create()
        self._returned: dict[int, int] = {}
        self._output = LastOutput()
        self._watch = Watch()

    async def run(self) -> ExecutorExited:
        """Start the process and wait for its end; says how it ended. Cancelled, it kills the process."""
        try:
            code = await self._run()
        except OSError as error:
            return ExecutorExited(self.number, f"could not be started: {error}", "", (), (), False)
        finally:
            executing, executed = self.executing(), self.newly_executed()
            os.close(self._board)
        cause = self._kill_cause or exit_text(code)
        is_blameless = code == control.EXIT_NO_BROKER
        return ExecutorExited(self.number, cause, self._output.text(), executing, executed, is_blameless)

    async def _run(self) -> int:
        arguments = command("shoal.workers.executor", self._entry_point, str(self._board))
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=environment(self._extra_environment),
            pass_fds=(self._board,),
        )
        self._process = process
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
                else:
                    self._hear(self, message)
        except Exception:
            # Nobody would hear this process any more: whatever happened, it has to start anew.
            _log.exception("executor not understood", executor=self.number)
            self.kill("being killed, since its messages were not understood")

    def send(self, message: ControlMessage) -> None:
        """Queue a message; lost when the process is gone, which `run` tells."""
        if self._process is not None and self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(control.encode(message))

    def kill(self, cause: str) -> None:
        """End the process at once, even one that is only being started."""
        self._kill_cause = self._kill_cause or cause
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def ping(self) -> None:
        """Ask for a sign of life unless one is awaited already."""
        if not self._watch.is_waiting:
            self._watch.asked()
            self.send(Ping())

    def is_hung(self, may_be_silent: bool) -> bool:
        """To be asked once per check interval; `may_be_silent` while it loads or unloads."""
        return self._watch.check(may_be_silent or bool(self.executing()))

    def executing(self) -> tuple[int, ...]:
        """The slots whose instances are executing now, or were when the process ended."""
        return tuple(slot for slot, row in board.read(self._board).items() if row.is_executing)

    def newly_executed(self) -> tuple[int, ...]:
        """The slots that an execution came back from since the last call."""
        returned = {slot: row.returned for slot, row in board.read(self._board).items()}
        grown = tuple(slot for slot, count in returned.items() if count > self._returned.get(slot, 0))
        self._returned = returned
        return grown
