"""The life of instances in the agent's log."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.messages import READY, UNAVAILABLE, UNLOADING, InstanceStatus
from shoal.telemetry.logs import get_logger
from shoal.workers.agent.events import RecyclingBegan, RecyclingFailed

#: An instance and where it is: while it is recycled, one name stands for two processes.
_Key = tuple[str, int, str, str, str, int]

_log = get_logger("agent")


class StatusLog:
    """Logs what changed between two lists of statuses; loading is not worth a line."""

    def __init__(self) -> None:
        self._states: dict[_Key, str] = {}

    def note(self, statuses: Iterable[InstanceStatus]) -> None:
        before, self._states = self._states, {}
        for status in statuses:
            key = status[:6]
            self._states[key] = status.state
            if before.pop(key, None) != status.state:
                _log_state(status)
        for (model, version, generation, name, _, _), state in before.items():
            if state == UNLOADING:
                _log.info("instance unloaded", model=model, version=version, generation=generation, instance=name)

    def note_recycling(self, event: RecyclingBegan | RecyclingFailed) -> None:
        model, version, generation, name = event.instance
        log = _log.bind(model=model, version=version, generation=generation, instance=name)
        if isinstance(event, RecyclingBegan):
            log.info("instance being recycled", why=event.why)
        else:
            log.warning("instance not recycled", reason=event.reason, next_attempt_in_s=event.pause_s)


def _log_state(status: InstanceStatus) -> None:
    log = _log.bind(model=status.model, version=status.version, generation=status.generation, instance=status.name)
    if status.state == READY:
        log.info("instance ready")
    elif status.state == UNAVAILABLE:
        log.warning("instance unavailable", reason=status.reason)
