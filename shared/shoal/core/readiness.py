"""Which model versions are ready: computed from desired state and the agents' heartbeats, by everyone alike.

A version is READY when the first worker has all its instances of the desired generation warm. An ensemble has no
instances: it is READY when all its steps are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from shoal.core.desired import ModelEntry
from shoal.core.errors import InvalidArgument
from shoal.core.messages import LOADING, READY, UNAVAILABLE, InstanceStatus
from shoal.core.model_config import EnsembleStep, from_json

#: States in the order in which they win when a worker's instances differ.
_WORST_FIRST = (UNAVAILABLE, LOADING)


class VersionState(NamedTuple):
    """A row of the repository index: `state` as Triton spells it, `reason` empty or `<Code>: <message>`."""

    state: str
    reason: str


#: The states of another model's versions; None, or empty, while nothing is known of them.
StatesOf = Callable[[str], Mapping[int, VersionState] | None]


def version_states(
    entry: ModelEntry, instances_by_agent: Mapping[str, Iterable[InstanceStatus]], states_of: StatesOf
) -> dict[int, VersionState]:
    """The state of each version of one model. `instances_by_agent`: incarnation of an agent -> its instances;
    `states_of` is asked about the models that an ensemble is composed of (see `composing_models`)."""
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
        steps = _steps(entry, version)
        states[version] = (
            _of_ensemble(entry.model, steps, states_of)
            if steps
            else _best([_of_worker(found) for found in workers[version]])
        )
    return states


def all_version_states(
    entries: Mapping[str, ModelEntry], instances_by_agent: Mapping[str, Iterable[InstanceStatus]]
) -> dict[str, dict[int, VersionState]]:
    """The states of all versions of all models, by model."""
    states: dict[str, dict[int, VersionState]] = {}

    def judge(model: str) -> Mapping[int, VersionState] | None:
        if model not in states and model in entries:
            states[model] = {}  # whoever asks again, in a circle that cannot be ready, finds no version
            states[model] = version_states(entries[model], instances_by_agent, judge)
        return states.get(model)

    for model in entries:
        judge(model)
    return states


def composing_models(entry: ModelEntry) -> frozenset[str]:
    """The models of an ensemble's steps, empty for any other model."""
    return frozenset(step.model for version in entry.versions for step in _steps(entry, version))


def _steps(entry: ModelEntry, version: int) -> tuple[EnsembleStep, ...]:
    config = entry.versions[version].config
    if "ensemble_scheduling" not in config:
        return ()
    ensemble = from_json(config).ensemble_scheduling
    return () if ensemble is None else ensemble.steps


def _of_ensemble(name: str, steps: Iterable[EnsembleStep], states_of: StatesOf) -> VersionState:
    found = [_of_step(name, step, states_of(step.model)) for step in steps]
    for state in _WORST_FIRST:
        for judged in found:
            if judged.state == state:
                return judged
    return VersionState(READY, "")


def _of_step(name: str, step: EnsembleStep, states: Mapping[int, VersionState] | None) -> VersionState:
    if not states:  # not known yet, or still being examined
        return VersionState(LOADING, "")
    wanted = states if step.version == -1 else {v: state for v, state in states.items() if v == step.version}
    for state in (READY, LOADING):
        if any(judged.state == state for judged in wanted.values()):
            return VersionState(state, "")
    number = step.version
    what = "which has no loaded version." if number == -1 else f"whose required version {number} is not loaded."
    text = f"ensemble '{name}' depends on '{step.model}' {what}"
    why = next((judged.reason for judged in wanted.values() if judged.reason), "")
    if why:
        text += f" Model '{step.model}' loading failed with error: {why}"
    return VersionState(UNAVAILABLE, InvalidArgument(text).reason())


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
