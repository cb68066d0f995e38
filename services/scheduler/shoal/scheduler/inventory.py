"""From the heartbeats of agents and executors to the events of instances. Pure.

An agent is the authority on its instances. While it is silent its executors' own heartbeats count: what they hold is
given up only when they are silent too, since a process that ends takes its children with it, but one that is stopped
for a moment does not. An agent that saw an executor end tells what it was executing then; of others nobody knows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

from shoal.core.messages import READY, UNAVAILABLE, UNLOADING, EndedExecutor, InstanceStatus
from shoal.scheduler.batches import InstanceKey, VersionKey
from shoal.scheduler.events import (
    Event,
    ExecutorGone,
    InstanceDraining,
    InstanceReady,
    OutlookChanged,
)

#: Executors that have ended, by their own word or their agent's: heartbeats may still list them, and tell it again.
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

    def observe(self, agent: str, rows: tuple[InstanceStatus, ...], ended: Iterable[EndedExecutor] = ()) -> list[Event]:
        """A heartbeat of an agent; `ended` are the executors that have ended lately."""
        self._silent.discard(agent)
        gone = [event for found in ended for event in self._ended(found)]
        before = self._rows.get(agent, ())
        if rows == before:
            return gone
        self._rows[agent] = rows
        return [*self._update_outlook((*before, *rows)), *gone, *self._update_known(agent, rows)]

    def agent_silent(self, agent: str, alive: Collection[str], cause: str) -> list[Event]:
        """An agent is not heard any more; `alive` are the executors that are."""
        self._silent.add(agent)
        rows = self._rows.pop(agent, ())
        executors = {executor for executor, _ in self._known.get(agent, {})}
        lost = [executor for executor in sorted(executors) if executor not in alive]
        events = [*self._update_outlook(rows), *(event for who in lost for event in self._lose(agent, who, cause))]
        self._forget_agent_if_over(agent)
        return events

    def executor_silent(self, executor: str) -> list[Event]:
        """An executor is not heard any more. That alone means nothing: user code may keep it from beating."""
        cause = f"executor {executor}: its host was lost"
        return [event for agent in list(self._silent) for event in self._lose(agent, executor, cause)]

    def executor_left(self, executor: str) -> list[Event]:
        """An executor said farewell, which it does when everything is unloaded: it was executing nothing."""
        return self._ended(EndedExecutor(executor, "it left", ()))

    def executor_vanished(self, executor: str) -> list[Event]:
        """An executor has been silent for so long that it is no peer any more. That means nothing either while its
        agent lists it; otherwise it is gone, unless it is heard of again."""
        if any(row.executor == executor for rows in self._rows.values() for row in rows):
            return []
        self._forget(executor)
        return [ExecutorGone(executor, f"executor {executor}: its host was lost", None)]

    def _ended(self, ended: EndedExecutor) -> list[Event]:
        executor, cause, executing = ended
        if executor in self._left:
            return []
        self._left[executor] = None
        if len(self._left) > _LEFT_LIMIT:
            self._left.popitem(last=False)
        self._forget(executor)
        return [ExecutorGone(executor, f"executor {executor} ended: {cause}", executing)]

    def _update_known(self, agent: str, rows: Iterable[InstanceStatus]) -> list[Event]:
        known = self._known.setdefault(agent, {})
        placed = {(row.executor, row.slot): row for row in rows if row.executor and row.executor not in self._left}
        executors = {executor for executor, _ in placed}
        events: list[Event] = []
        for instance, before in list(known.items()):
            row = placed.get(instance)
            if instance not in known or (row is not None and row.state in (READY, UNLOADING)):
                continue
            if before.executor in executors:
                # Unloaded, and the process lives: what it held is done, or will be found out by asking.
                del known[instance]
                events.append(InstanceDraining(*instance))
            else:
                events += self._lose(agent, before.executor, _cause(before, rows))
        for instance, row in placed.items():
            events += _transition(known, instance, row)
        return events

    def _lose(self, agent: str, executor: str, cause: str) -> list[Event]:
        """Give up an executor of this agent, if it is one; nobody knows what it was executing."""
        if not any(known == executor for known, _ in self._known.get(agent, {})):
            return []
        self._forget(executor)
        return [ExecutorGone(executor, cause, None)]

    def _forget(self, executor: str) -> None:
        for agent, known in list(self._known.items()):
            for instance in [instance for instance in known if instance[0] == executor]:
                del known[instance]
            self._forget_agent_if_over(agent)

    def _forget_agent_if_over(self, agent: str) -> None:
        if agent in self._silent and not self._known.get(agent):
            self._known.pop(agent, None)
            self._silent.discard(agent)

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
