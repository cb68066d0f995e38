"""What follows from an executor's death: when it may start again, whom it is blamed on, and who is given up. Pure.

Blamed are the instances that were executing or loading. When there were none, nobody knows who it was: then everyone in
the process is suspected, which weighs less. Somebody who lives with others is never given up, so that a poisonous
neighbour can cost an instance time, but not its life: at some point it gets a process of its own, and from then on its
own crashes are counted alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shoal.core.errors import InternalError
from shoal.workers.agent.events import Action, ExecutorExited, WakeAt
from shoal.workers.agent.fleet import Instance, Phase, ProcessKey

FIRST_DELAY_S = 0.1
DELAY_LIMIT_S = 10.0

#: Deaths while an instance was loading or executing, after which it gets a process of its own.
QUARANTINE_AFTER = 2
#: Deaths without one execution that came back between them, after which an instance that lives alone is given up, and
#: one that was only suspected gets a process of its own.
GIVE_UP_AFTER = 5

#: What was given up is tried again, for the cause may have been outside (somebody killed it, the machine was out of
#: memory). Until it is ready it stays UNAVAILABLE, and the next death gives it up again, for twice as long.
FIRST_RETRY_S = 60.0
RETRY_LIMIT_S = 600.0


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
        until = now + doubled(FIRST_DELAY_S, failures, DELAY_LIMIT_S)
        self._pauses[key] = _Pause(failures, until)
        return until

    def not_before(self, key: ProcessKey) -> float:
        return self._pauses[key].until if key in self._pauses else float("-inf")

    def forget(self, key: ProcessKey) -> None:
        """It has proved itself: the next death is the first again."""
        self._pauses.pop(key, None)


def doubled(first_s: float, failures: int, limit_s: float) -> float:
    """The pause after this many failures in a row, at least one: `first_s`, then twice as long each time."""
    # The exponent is capped so that a count of thousands cannot overflow.
    return min(first_s * 2.0 ** min(failures - 1, 20), limit_s)


def blame(members: Iterable[Instance], event: ExecutorExited, restarts: Restarts, now: float) -> list[Action]:
    """Move the instances of a process that ended to where they are to go on: to wait, alone perhaps, or given up."""
    survivors = list(members)
    active = [i for i in survivors if i.phase is Phase.LOADING or i.slot in event.executing]
    if event.culprits is not None:
        active = [i for i in survivors if i.slot in event.culprits]
    is_known = event.culprits is not None or bool(active)
    blamed = active if is_known else survivors
    for instance in survivors:
        instance.leave(Phase.WAITING)
    actions: list[Action] = []
    for instance in blamed:
        actions += _convict(instance, event, is_known, restarts, now)
    return actions


def retry(instance: Instance) -> None:
    """Try what was given up once more; it stays UNAVAILABLE for its old reason until it is ready."""
    instance.phase, instance.retry_at = Phase.WAITING, float("inf")
    instance.crashes = GIVE_UP_AFTER - 1


def pardon(instance: Instance) -> None:
    """An execution came back."""
    instance.crashes = instance.times_given_up = 0


def _convict(instance: Instance, event: ExecutorExited, is_known: bool, restarts: Restarts, now: float) -> list[Action]:
    instance.crashes += 1
    if instance.lives_alone:
        return _give_up(instance, event, now) if instance.crashes >= GIVE_UP_AFTER else []
    if instance.crashes < (QUARANTINE_AFTER if is_known else GIVE_UP_AFTER):
        return []
    instance.is_quarantined = True
    instance.crashes = QUARANTINE_AFTER
    return [WakeAt(restarts.delay(instance.process_key, now))]


def _give_up(instance: Instance, event: ExecutorExited, now: float) -> list[Action]:
    instance.times_given_up += 1
    instance.fail(given_up_reason(instance.planned.key.name, event.cause, event.last_output))
    instance.retry_at = now + doubled(FIRST_RETRY_S, instance.times_given_up, RETRY_LIMIT_S)
    return [WakeAt(instance.retry_at)]


def given_up_reason(instance: str, cause: str, last_output: str) -> str:
    """The reason of an instance that is UNAVAILABLE for its crashes, in the index's form."""
    text = (
        f"the process of instance '{instance}' ended {GIVE_UP_AFTER} times without a successful execution in between, "
        f"the last time: {cause}"
    )
    if last_output:
        text += f"; its last output was:\n{last_output}"
    return InternalError(text).reason()
