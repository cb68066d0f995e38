"""When is an executor hung? Pure.

Busy is healthy for as long as it likes: user code may hold the interpreter's lock. Hung is who does nothing and still
does not answer, or whose process is stopped. Checks are counted instead of time, since an agent that was stopped itself
has seen no silence; and a check that comes late counts for nothing, since whatever held up the agent may have held up
the executor as well (a terminal's Ctrl-Z stops them all, and `fg` does not wake them in any order).
"""

from __future__ import annotations

from enum import Enum, auto

CHECK_INTERVAL_S = 0.5
#: A check this long after the one before is late.
LATE_AFTER_S = 2 * CHECK_INTERVAL_S
#: Five seconds: on an oversubscribed machine a side thread may not run for a second or two while models load.
SILENT_CHECKS = 10
#: A debugger or a profiler may stop a process for a moment.
STOPPED_CHECKS = 2

#: States in /proc/PID/stat: stopped by a signal, stopped by who traces it.
_STOPPED = "T"
_TRACED = "t"


class Health(Enum):
    """WELL, or why the process has to be started anew."""

    WELL = auto()
    SILENT = auto()
    STOPPED = auto()


class Watch:
    """One executor's pings and process states. `asked` and `answered` note the pings, `check` judges once per
    interval."""

    def __init__(self) -> None:
        self._is_asked = False
        self._silent_checks = 0
        self._stopped_checks = 0

    @property
    def is_waiting(self) -> bool:
        """A ping has not been answered yet: no second one is sent."""
        return self._is_asked

    def asked(self) -> None:
        self._is_asked = True

    def answered(self) -> None:
        self._is_asked = False
        self._silent_checks = 0

    def check(self, state: str, is_excused: bool, is_late: bool) -> Health:
        """`state` as /proc/PID/stat has it, empty when unknown; `is_excused` while it need not answer: it executes,
        loads or unloads."""
        if is_late:
            self._stopped_checks = 0
            return Health.WELL
        self._stopped_checks = self._stopped_checks + 1 if state == _STOPPED else 0
        is_silent = self._is_asked and not is_excused and state != _TRACED
        self._silent_checks = self._silent_checks + 1 if is_silent else 0
        if self._stopped_checks >= STOPPED_CHECKS:
            return Health.STOPPED
        return Health.SILENT if self._silent_checks >= SILENT_CHECKS else Health.WELL
