"""From the heartbeats of agents and executors to the events of instances. Pure.

An agent is the authority on its instances. While it is silent its executors' own heartbeats count: what they hold is
given up only when they are silent too, since a process that ends takes its children with it, but one that is stopped
for a moment does not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from shoal.core.messages import READY, UNAVAILABLE, UNLOADING, InstanceStatus
from shoal.scheduler.batches import InstanceKey, VersionKey
from shoal.scheduler.events import (
    Event,
    ExecutorGone,
    InstanceDraining,
    InstanceGone,
    InstanceReady,
    OutlookChanged,
)

#: Executors that said farewell; their agent's next heartbeat may still list them.
_LEFT_LIMIT = 1024


class Inventory:
    """What the agents said last. Every method that changes it returns the events that follow from the change."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[InstanceStatus, ...]] = {}
        #: Instances told to be ready and not told to be gone, by agent.
        self._known: dict[str, dict[InstanceKey, InstanceStatus]] = {}
        self._outlook: dict[VersionKey, str] = {}
        self._silent: set[str] = set()
        self._left: OrderedDict[str, None] = OrderedDict()

    def events(self) -> list[Event]:
        """The events that tell all of this to a core that knows nothing."""
        known = [row for rows in self._known.values() for row in rows.values()]
        events: list[Event] = [OutlookChanged(*key, reason) for key, reason in self._outlook.items()]
        events += [_ready(row) for row in known]
        return events + [InstanceDraining(row.executor, row.slot) for row in known if row.state != READY]

    def observe(self, agent: str, rows: tuple[InstanceStatus, ...]) -> list[Event]:
        """A heartbeat of an agent."""
        self._silent.discard(agent)
        before = self._rows.get(agent, ())
        if rows == before:
            return []
        self._rows[agent] = rows
        events = self._update_outlook((*before, *rows))
        events += self._update_known(agent, rows)
        return events

    def agent_silent(self, agent: str, alive: Collection[str], cause: str) -> list[Event]:
        """An agent is not heard any more; `alive` are the executors that are."""
        self._silent.add(agent)
        rows = self._rows.pop(agent, ())
        known = self._known.get(agent, {})
        lost = [instance for instance in known if instance[0] not in alive]
        return [*self._update_outlook(rows), *self._give_up(agent, lost, cause)]

    def executor_silent(self, executor: str) -> list[Event]:
        """An executor is not heard any more. That alone means nothing: user code may keep it from beating."""
        return [event for agent in list(self._silent) for event in self._lose(agent, executor, "its host was lost")]

    def executor_left(self, executor: str) -> list[Event]:
        """An executor said farewell."""
        self._left[executor] = None
        if len(self._left) > _LEFT_LIMIT:
            self._left.popitem(last=False)
        events = [event for agent in list(self._known) for event in self._lose(agent, executor, "it left")]
        return [*events, ExecutorGone(executor, f"executor {executor}: it left")]

    def executor_vanished(self, executor: str) -> list[Event]:
        """An executor has been silent for so long that it is no peer any more. That means nothing either while its
        agent lists it; otherwise it is gone, unless it is heard of again."""
        if any(row.executor == executor for rows in self._rows.values() for row in rows):
            return []
        return [*self.executor_silent(executor), ExecutorGone(executor, f"executor {executor}: its host was lost")]

    def _update_known(self, agent: str, rows: Iterable[InstanceStatus]) -> list[Event]:
        known = self._known.setdefault(agent, {})
        placed = {(row.executor, row.slot): row for row in rows if row.executor and row.executor not in self._left}
        executors = {executor for executor, _ in placed}
        events: list[Event] = []
        for instance, before in list(known.items()):
            row = placed.get(instance)
            if row is not None and row.state in (READY, UNLOADING):
                continue
            if row is None and before.executor in executors:
                # Unloaded, and the process lives: what it held is done, or will be found out by asking.
                del known[instance]
                events.append(InstanceDraining(*instance))
            else:
                events += self._give_up(agent, [instance], _cause(before, rows))
        for instance, row in placed.items():
            events += _transition(known, instance, row)
        return events

    def _lose(self, agent: str, executor: str, cause: str) -> list[Event]:
        lost = [instance for instance in self._known.get(agent, {}) if instance[0] == executor]
        return self._give_up(agent, lost, f"executor {executor}: {cause}")

    def _give_up(self, agent: str, lost: Iterable[InstanceKey], cause: str) -> list[Event]:
        events: list[Event] = []
        known = self._known.get(agent, {})
        for instance in lost:
            del known[instance]
            events.append(InstanceGone(*instance, cause))
        if not known and agent in self._silent:
            self._known.pop(agent, None)
            self._silent.discard(agent)
        return events

    def _update_outlook(self, concerned: Iterable[InstanceStatus]) -> list[Event]:
        """A version is hopeless when it has instances and all of them are UNAVAILABLE."""
        events: list[Event] = []
        for key in dict.fromkeys((row.model, row.version, row.generation) for row in concerned):
            rows = [row for found in self._rows.values() for row in found if row[:3] == key]
            is_hopeless = bool(rows) and all(row.state == UNAVAILABLE for row in rows)
            reason = (rows[0].reason or "its instances are unavailable") if is_hopeless else None
            if reason == self._outlook.get(key):
                continue
            if reason is None:
                del self._outlook[key]
            else:
                self._outlook[key] = reason
            events.append(OutlookChanged(*key, reason))
        return events


def _transition(known: dict[InstanceKey, InstanceStatus], instance: InstanceKey, row: InstanceStatus) -> list[Event]:
    before = known.get(instance)
    if row.state == READY:
        known[instance] = row
        return [] if before is not None and before.state == READY else [_ready(row)]
    if before is not None and before.state == READY:
        known[instance] = row
        return [InstanceDraining(*instance)]
    return []


def _ready(row: InstanceStatus) -> InstanceReady:
    return InstanceReady(row.model, row.version, row.generation, row.executor, row.slot, row.name)


def _cause(before: InstanceStatus, rows: Iterable[InstanceStatus]) -> str:
    """What its agent says about an instance that is not where it was."""
    same = (row for row in rows if (row[:3], row.name) == (before[:3], before.name))
    reason = next((row.reason for row in same if row.reason), "")
    return f"executor {before.executor} ended" + (f": {reason}" if reason else "")
