"""The life of instances in the agent's log."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.messages import READY, UNAVAILABLE, UNLOADING, InstanceStatus
from shoal.telemetry.logs import get_logger

_Key = tuple[str, int, str, str]

_log = get_logger("agent")


class StatusLog:
    """Logs what changed between two lists of statuses; loading is not worth a line."""

    def __init__(self) -> None:
        self._states: dict[_Key, str] = {}

    def note(self, statuses: Iterable[InstanceStatus]) -> None:
        before, self._states = self._states, {}
        for status in statuses:
            key = (status.model, status.version, status.generation, status.name)
            self._states[key] = status.state
            if before.pop(key, None) != status.state:
                _log_state(status)
        for (model, version, generation, name), state in before.items():
            if state == UNLOADING:
                _log.info("instance unloaded", model=model, version=version, generation=generation, instance=name)


def _log_state(status: InstanceStatus) -> None:
    log = _log.bind(model=status.model, version=status.version, generation=status.generation, instance=status.name)
    if status.state == READY:
        log.info("instance ready")
    elif status.state == UNAVAILABLE:
        log.warning("instance unavailable", reason=status.reason)
