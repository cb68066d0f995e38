"""When is an executor hung? Pure.

Busy is healthy for as long as it likes: user code may hold the interpreter's lock. Hung is who does nothing and still
does not answer. Checks are counted instead of time, since an agent that was stopped itself has seen no silence.
"""

from __future__ import annotations

CHECK_INTERVAL_S = 1.0
#: On an oversubscribed machine a side thread may not run for a second or two while models load.
SILENT_CHECKS = 5


class Watch:
    """One executor's pings. `asked` and `answered` note them, `check` judges once per interval."""

    def __init__(self) -> None:
        self._is_asked = False
        self._silent_checks = 0

    @property
    def is_waiting(self) -> bool:
        """A ping has not been answered yet: no second one is sent."""
        return self._is_asked

    def asked(self) -> None:
        self._is_asked = True

    def answered(self) -> None:
        self._is_asked = False
        self._silent_checks = 0

    def check(self, is_busy: bool) -> bool:
        """True when it is hung: not busy and silent for several checks in a row."""
        self._silent_checks = 0 if is_busy or not self._is_asked else self._silent_checks + 1
        return self._silent_checks >= SILENT_CHECKS
