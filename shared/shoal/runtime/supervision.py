"""What a supervisor decides: a pure state machine over the life of its services.

`handle(event, now)` takes what happened and the time (seconds of any monotonic clock) and returns what to do, in order.
It never waits: a `WakeAt` asks for a `Tick` at that time.

Services are drained stage by stage, lowest first: a stage is asked to stop when every service of the stages before has
ended. A service whose stage has not been reached yet is restarted even then, since those that drain still need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Delay before the first restart, doubled with each further one up to the limit.
FIRST_DELAY_S = 0.1
DELAY_LIMIT_S = 5.0
#: A service that lived this long starts again with the first delay.
STABLE_AFTER_S = 10.0
#: So many ends in a row before start-up was done mean that the service will not come up.
START_UP_ATTEMPTS = 5

#: Exit codes that another start does not mend: wrong options, trouble with the environment.
FINAL_EXIT_CODES = (2, 3)


class Service(NamedTuple):
    """A supervised process: its name in logs, and the stage in which it is drained."""

    name: str
    stage: int


class Exited(NamedTuple):
    """A service ended; `code` is negative for a signal, as subprocess has it."""

    name: str
    code: int


class StartUpDone(NamedTuple):
    """Every service has been up: from now on an end is always answered by a restart."""


class StopRequested(NamedTuple):
    """Drain, and end with `exit_code`; the second such event kills."""

    exit_code: int = 0


class Tick(NamedTuple):
    """A time asked for by `WakeAt` has come."""


Event = Exited | StartUpDone | StopRequested | Tick


class Start(NamedTuple):
    """Start the service. `delay_s` > 0: it was restarted after that time."""

    name: str


class Restarting(NamedTuple):
    """To be told: the service ended with `code` and starts again in `delay_s`."""

    name: str
    code: int
    delay_s: float


class Terminate(NamedTuple):
    """Ask the service to drain (SIGTERM)."""

    name: str


class Kill(NamedTuple):
    """End the service and all its processes at once (SIGKILL)."""

    name: str


class WakeAt(NamedTuple):
    """Send `Tick` at this time."""

    time: float


class Fail(NamedTuple):
    """To be told: why everything is being stopped."""

    text: str


class Finish(NamedTuple):
    """Every service has ended; so does the supervisor, with this exit code."""

    exit_code: int


Action = Start | Restarting | Terminate | Kill | WakeAt | Fail | Finish


class _Life:
    """One service's fate so far."""

    def __init__(self, stage: int) -> None:
        self.stage = stage
        self.running = False
        self.started_at = 0.0
        self.failures = 0
        self.restart_at: float | None = None

    def start(self, now: float) -> None:
        self.running, self.started_at, self.restart_at = True, now, None

    def delay_after_exit(self, now: float) -> float:
        """Note an end; returns how long to wait before the next start."""
        if now - self.started_at >= STABLE_AFTER_S:
            self.failures = 0
        self.failures += 1
        return float(min(FIRST_DELAY_S * 2 ** (self.failures - 1), DELAY_LIMIT_S))


class Supervision:
    """Decides for a fixed set of services. Mutated by `begin` and `handle` alone; not thread-safe."""

    def __init__(self, services: Sequence[Service], exit_timeout_s: float) -> None:
        """`exit_timeout_s`: how long the whole drain may take before what is left is killed."""
        self._lives = {service.name: _Life(service.stage) for service in services}
        self._exit_timeout_s = exit_timeout_s
        self._starting_up = True
        self._stop_at: float | None = None
        self._stage = -1
        self._exit_code = 0
        self._killed = False

    @property
    def is_stopping(self) -> bool:
        return self._stop_at is not None

    def begin(self, now: float) -> list[Action]:
        """Start every service, in the order given."""
        return [self._start(name, now) for name in self._lives]

    def handle(self, event: Event, now: float) -> list[Action]:
        match event:
            case Exited(name, code):
                return self._exited(name, code, now)
            case StartUpDone():
                self._starting_up = False
                return []
            case StopRequested(exit_code):
                return self._stop(exit_code, now)
            case Tick():
                return self._tick(now)

    def _start(self, name: str, now: float) -> Action:
        self._lives[name].start(now)
        return Start(name)

    def _exited(self, name: str, code: int, now: float) -> list[Action]:
        life = self._lives[name]
        life.running = False
        if self._has_to_end(life):
            return self._advance()
        delay_s = life.delay_after_exit(now)
        if self._starting_up and not self.is_stopping:
            if code in FINAL_EXIT_CODES:
                return self._fail(f"{name} cannot start (exit code {code})", now)
            if life.failures >= START_UP_ATTEMPTS:
                text = f"{name} ended {life.failures} times while starting, the last time with exit code {code}"
                return self._fail(text, now)
        life.restart_at = now + delay_s
        return [Restarting(name, code, delay_s), WakeAt(life.restart_at)]

    def _has_to_end(self, life: _Life) -> bool:
        return self._killed or life.stage <= self._stage

    def _fail(self, text: str, now: float) -> list[Action]:
        return [Fail(text), *self._stop(1, now)]

    def _stop(self, exit_code: int, now: float) -> list[Action]:
        if self.is_stopping:
            return self._kill("second signal: killing what is left")
        self._exit_code = exit_code
        self._stop_at = now + self._exit_timeout_s
        return [WakeAt(self._stop_at), *self._advance()]

    def _kill(self, text: str) -> list[Action]:
        if self._killed:
            return []
        self._killed = True
        self._exit_code = self._exit_code or 1
        return [Fail(text), *(Kill(name) for name, life in self._lives.items() if life.running), *self._advance()]

    def _advance(self) -> list[Action]:
        """Go to the next stage while nothing of the stages reached so far is running."""
        while not any(life.running for life in self._lives.values() if self._has_to_end(life)):
            later = [life.stage for life in self._lives.values() if not self._has_to_end(life)]
            if not later:
                return [Finish(self._exit_code)]
            self._stage = min(later)
            asked = [n for n, life in self._lives.items() if life.stage == self._stage and life.running]
            if asked:
                return [Terminate(name) for name in asked]
        return []

    def _tick(self, now: float) -> list[Action]:
        if self._stop_at is not None and now >= self._stop_at:
            return self._kill("Exit timeout expired. Exiting immediately.")
        due = [
            name
            for name, life in self._lives.items()
            if life.restart_at is not None and now >= life.restart_at and not self._has_to_end(life)
        ]
        return [self._start(name, now) for name in due]
