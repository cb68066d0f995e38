"""Starts, watches and ends the processes of one machine: the shell around `supervision`.

Every child is the leader of a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone, which
drains the children in their order. Children die with the supervisor, however it ends (see `parent_death`), and what a
dead child left in its process group is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from shoal.runtime.parent_death import child_environment
from shoal.runtime.supervision import (
    Action,
    Event,
    Exited,
    Fail,
    Finish,
    Kill,
    Restarting,
    Service,
    Start,
    StartUpDone,
    StopRequested,
    Supervision,
    Terminate,
    Tick,
    WakeAt,
)
from shoal.telemetry.logs import get_logger

_log = get_logger("supervisor")

#: What a process is that could not even be started; as a shell says it.
_NOT_STARTED = 127
_LAST_OUTPUT_NBYTES = 4096


@dataclass(frozen=True, slots=True)
class Command:
    """A process to supervise. `environment` is added to the supervisor's own; secrets travel there, never in `argv`.
    `stage` orders the drain, lowest first. `argv` must be one of ours or go through `shoal.runtime.launch`, so that it
    dies with the supervisor. `output`: the file that takes what the process prints, instead of our own streams."""

    name: str
    stage: int
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    output: Path | None = None


class _Child(NamedTuple):
    process: subprocess.Popen[bytes]
    #: Becomes readable when the process ends.
    descriptor: int


class Supervisor:
    """Runs the commands until they are told to stop. Belongs to the main thread and its event loop.

    `run` returns the exit code; `request_stop` drains, and kills when called again; `start_up_done` ends the time in
    which a service that cannot start stops everything. `failure` then tells why.
    """

    def __init__(self, commands: Sequence[Command], exit_timeout_s: float) -> None:
        self._commands = {command.name: command for command in commands}
        self._supervision = Supervision([Service(c.name, c.stage) for c in commands], exit_timeout_s)
        self._children: dict[str, _Child] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._finished = asyncio.Event()
        self._exit_code = 0
        self.stopping = asyncio.Event()
        self.failure: str | None = None

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that run now, by name."""
        return {name: child.process.pid for name, child in self._children.items()}

    async def run(self) -> int:
        """Start everything and return the exit code once the last child has ended. When cancelled, it kills them."""
        try:
            self._perform(self._supervision.begin(self._now()))
            await self._finished.wait()
        finally:
            for timer in self._timers:
                timer.cancel()
            for name in list(self._children):
                self._reap(name)
        return self._exit_code

    def start_up_done(self) -> None:
        self._handle(StartUpDone())

    def request_stop(self, exit_code: int = 0) -> None:
        """Drain and end with `exit_code`; a second call kills what is left."""
        self._handle(StopRequested(exit_code))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _handle(self, event: Event, not_before: float = 0.0) -> None:
        if not self._finished.is_set():
            self._perform(self._supervision.handle(event, max(self._now(), not_before)))
        if self._supervision.is_stopping:
            self.stopping.set()

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Start(name):
                    self._start(self._commands[name])
                case Restarting(name, code, delay_s):
                    self._tell_lost(name, code, delay_s)
                case Terminate(name):
                    self._signal(name, signal.SIGTERM)
                case Kill(name):
                    self._signal(name, signal.SIGKILL)
                case WakeAt(time):
                    self._wake_at(time)
                case Fail(text):
                    self._fail(text)
                case Finish(exit_code):
                    self._exit_code = exit_code
                    self._finished.set()

    def _start(self, command: Command) -> None:
        """Spawn the child and watch for its end. Blocks for the spawn alone, on the thread whose end kills it."""
        loop = asyncio.get_running_loop()
        try:
            process = _spawn(command)
        except OSError as error:
            _log.error("service not started", service=command.name, program=command.argv[0], error=str(error))
            loop.call_soon(self._handle, Exited(command.name, _NOT_STARTED))
            return
        descriptor = os.pidfd_open(process.pid)
        self._children[command.name] = _Child(process, descriptor)
        loop.add_reader(descriptor, self._exited, command.name)
        _log.debug("service started", service=command.name, child=process.pid)

    def _exited(self, name: str) -> None:
        self._handle(Exited(name, self._reap(name)))

    def _reap(self, name: str) -> int:
        """Collect a dead child (a living one is killed, and its group with it); returns its exit code."""
        process, descriptor = self._children.pop(name)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        # Before `wait`, while the child's id cannot have been given to another process.
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def _signal(self, name: str, number: signal.Signals) -> None:
        """SIGTERM goes to the child alone, which drains its own; SIGKILL to its whole group."""
        child = self._children.get(name)
        if child is None:
            return
        if number is signal.SIGKILL:
            os.killpg(child.process.pid, number)
        else:
            # Not `send_signal`, which collects a child that has just ended, whose group `_reap` could not kill then.
            os.kill(child.process.pid, number)

    def _wake_at(self, time: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers = {timer for timer in self._timers if not timer.cancelled() and timer.when() > loop.time()}
        # A loop may call a little early, and the decision compares times.
        self._timers.add(loop.call_at(time, self._handle, Tick(), time))

    def _tell_lost(self, name: str, code: int, delay_s: float) -> None:
        output = self._commands[name].output
        told = {"last_output": _last_line(output)} if output else {}
        _log.warning("service lost", service=name, exit=exit_text(code), restart_in_s=delay_s, **told)

    def _fail(self, text: str) -> None:
        _log.error("stopping", reason=text)
        self.failure = self.failure or text


def _spawn(command: Command) -> subprocess.Popen[bytes]:
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(command.output.open("ab")) if command.output else None
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=child_environment(command.environment),
            start_new_session=True,
        )


def _last_line(path: Path) -> str:
    """What a process printed last, from the end of its output."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LAST_OUTPUT_NBYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def exit_text(code: int) -> str:
    """`exit code 3`, or `SIGKILL` for the death by a signal (negative, as subprocess has it)."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
