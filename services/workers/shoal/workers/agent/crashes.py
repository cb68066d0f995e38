"""What follows from an executor's death: when to start again, and what to say when it is given up. Pure."""

from __future__ import annotations

from typing import NamedTuple

from shoal.core.errors import InternalError
from shoal.workers.agent.fleet import ProcessKey

FIRST_DELAY_S = 0.1
DELAY_LIMIT_S = 10.0

#: Deaths while an instance was loading or executing, after which it gets a process of its own.
QUARANTINE_AFTER = 2
#: Such deaths without one execution that came back between them, after which it is given up.
GIVE_UP_AFTER = 5


class _Pause(NamedTuple):
    failures: int
    until: float


class Restarts:
    """The deaths in a row of each process key, and when it may be started again."""

    def __init__(self) -> None:
        self._pauses: dict[ProcessKey, _Pause] = {}

    def delay(self, key: ProcessKey, now: float) -> float:
        """Count a death; returns the time of the next start."""
        failures = self._pauses[key].failures + 1 if key in self._pauses else 1
        # The exponent is capped so that a count of thousands cannot overflow.
        until = now + min(FIRST_DELAY_S * 2.0 ** min(failures - 1, 20), DELAY_LIMIT_S)
        self._pauses[key] = _Pause(failures, until)
        return until

    def not_before(self, key: ProcessKey) -> float:
        return self._pauses[key].until if key in self._pauses else float("-inf")

    def forget(self, key: ProcessKey) -> None:
        """It has proved itself: the next death is the first again."""
        self._pauses.pop(key, None)


def exit_text(code: int) -> str:
    """How a process ended, for people; `code` is negative for a signal, as subprocess has it."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def given_up_reason(instance: str, cause: str, last_output: str) -> str:
    """The reason of an instance that is UNAVAILABLE for its crashes, in the index's form."""
    text = (
        f"the process of instance '{instance}' ended {GIVE_UP_AFTER} times without a successful execution in between, "
        f"the last time with {cause}"
    )
    if last_output:
        text += f"; its last output was:\n{last_output}"
    return InternalError(text).reason()
