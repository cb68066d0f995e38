"""Which model versions are ready: computed from desired state and the agents' heartbeats, by everyone alike.

A version is READY when the first worker has all its instances of the desired generation warm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shoal.core.desired import ModelEntry
from shoal.core.messages import LOADING, READY, UNAVAILABLE, InstanceStatus

#: States in the order in which they win when a worker's instances differ.
_WORST_FIRST = (UNAVAILABLE, LOADING)


class VersionState(NamedTuple):
    """A row of the repository index: `state` as Triton spells it, `reason` empty or `<Code>: <message>`."""

    state: str
    reason: str


def version_states(
    entry: ModelEntry, instances_by_agent: Mapping[str, Iterable[InstanceStatus]]
) -> dict[int, VersionState]:
    """The state of each version of one model. `instances_by_agent`: incarnation of an agent -> its instances."""
    states = {version: VersionState(UNAVAILABLE, entry.reason) for version in entry.failed_versions}
    workers: dict[int, list[list[InstanceStatus]]] = defaultdict(list)
    for instances in instances_by_agent.values():
        mine: dict[int, list[InstanceStatus]] = defaultdict(list)
        for status in instances:
            if status.model == entry.model and status.generation == entry.generation:
                mine[status.version].append(status)
        for version, found in mine.items():
            workers[version].append(found)
    for version in entry.versions:
        states[version] = _best([_of_worker(found) for found in workers[version]])
    return states


def _of_worker(instances: list[InstanceStatus]) -> VersionState:
    for state in _WORST_FIRST:
        for instance in instances:
            if instance.state == state:
                return VersionState(state, instance.reason)
    return VersionState(instances[0].state, instances[0].reason)


def _best(workers: list[VersionState]) -> VersionState:
    for state in (READY, LOADING):
        for worker in workers:
            if worker.state == state:
                return worker
    return workers[0] if workers else VersionState(LOADING, "")
