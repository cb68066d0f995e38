"""The models as this gateway sees them: desired state and the agents' instances, turned into versions to serve.

Pure: whoever follows the buckets and heartbeats feeds it (see `model_views`); reading never waits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shoal.core.desired import NO_VERSION, ModelEntry, RepositoryStatus
from shoal.core.errors import InvalidArgument, NotFound, ShoalError, Unavailable
from shoal.core.messages import LOADING, READY, InstanceStatus
from shoal.core.model_config import ModelConfig, from_json
from shoal.core.readiness import VersionState, composing_models, version_states

#: The one reason that does not make a server unready: somebody asked for it.
_UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """One version of one generation of a model. `labels`: output name -> one label per class index."""

    model: str
    version: int
    generation: str
    config: ModelConfig
    labels: Mapping[str, list[str]]


class Models:
    """Every model that the repository names, with the state of its versions.

    `put_model`, `remove_model`, `put_status` and `put_instances` are the doors through which it changes; use it from
    the event loop's thread only.
    """

    def __init__(self) -> None:
        self.repository_settled = False
        #: Whether there was a moment at which the repository was examined and no version was being loaded.
        self.start_is_over = False
        self._listed: frozenset[str] = frozenset()
        self._entries: dict[str, ModelEntry] = {}
        self._served: dict[str, dict[int, ServedVersion]] = {}
        self._instances: dict[str, dict[str, list[InstanceStatus]]] = defaultdict(dict)
        self._instances_of_agent: dict[str, tuple[InstanceStatus, ...]] = {}
        self._states: dict[str, dict[int, VersionState]] = {}
        #: The models that each ensemble is composed of.
        self._composing: dict[str, frozenset[str]] = {}
        self._ready: dict[str, dict[int | None, ServedVersion]] = {}
        #: The versions to send requests to, by number, and the highest ready one under None: those that are ready, and
        #: those that were and are being loaded again after a fault, for which requests wait at the scheduler.
        self._in_service: dict[str, dict[int | None, ServedVersion]] = {}

    def put_model(self, entry: ModelEntry) -> None:
        """Take over what should be loaded of one model. Raises KeyError when a configuration lacks a field."""
        name = entry.model
        self._served[name] = {
            number: ServedVersion(name, number, entry.generation, from_json(version.config), version.labels)
            for number, version in entry.versions.items()
        }
        self._entries[name] = entry
        self._composing[name] = composing_models(entry)
        self._judge(name)

    def remove_model(self, name: str) -> None:
        """Forget a model that the repository no longer names."""
        for table in (self._entries, self._served, self._states, self._composing, self._ready, self._in_service):
            table.pop(name, None)
        self._judge_ensembles_of(name)

    def put_status(self, status: RepositoryStatus) -> None:
        self.repository_settled = status.settled
        self._listed = frozenset(status.models)
        self._note_start()

    def put_instances(self, agent: str, instances: tuple[InstanceStatus, ...]) -> None:
        """Take over all instances of one agent; an agent that left has none."""
        before = self._instances_of_agent.get(agent, ())
        if before == instances:
            return
        if instances:
            self._instances_of_agent[agent] = instances
        else:
            self._instances_of_agent.pop(agent, None)
        for name in {status.model for status in set(before) ^ set(instances)}:
            mine = [status for status in instances if status.model == name]
            if mine:
                self._instances[name][agent] = mine
            else:
                self._instances[name].pop(agent, None)
            self._judge(name)

    def find(self, name: str, version: int | None) -> ServedVersion | None:
        """The version to send requests to (None: the highest ready one), or None. Costs two look-ups."""
        in_service = self._in_service.get(name)
        return None if in_service is None else in_service.get(version)

    def resolve(self, name: str, version: int | None) -> ServedVersion:
        """As `find`, but raises in Triton's words: NotFound for an unknown model or version and for a model of which no
        version is ready or will be soon, Unavailable for what is not ready (worth another try)."""
        found = self.find(name, version)
        if found is None:
            raise self._why_not(name, version)
        return found

    def is_ready(self, name: str, version: int | None) -> bool:
        """Whether this version (None: any) is ready, and not only being loaded again."""
        ready = self._ready.get(name, {})
        return bool(ready) if version is None else version in ready

    def ready_versions(self, name: str) -> list[int]:
        """Numbers of the ready versions, ascending."""
        return sorted(number for number in self._ready.get(name, ()) if number is not None)

    def for_statistics(self, name: str | None, version: int | None) -> list[ServedVersion]:
        """The ready versions that statistics are asked of: of one model, or of all for None.

        Raises InvalidArgument, as Triton does for statistics, when there is none.
        """
        if name is None:
            return [
                self._ready[model][number] for model in sorted(self._ready) for number in self.ready_versions(model)
            ]
        if not self._ready.get(name):
            raise InvalidArgument(f"requested model '{name}' is not available")
        if version is None:
            return [self._ready[name][number] for number in self.ready_versions(name)]
        found = self.find(name, version)
        if found is None:
            raise InvalidArgument(f"requested model version is not available for model '{name}'")
        return [found]

    def desired(self) -> list[ServedVersion]:
        """Every version that should be loaded now, ready or not."""
        return [served for versions in self._served.values() for served in versions.values()]

    def index(self, only_ready: bool) -> list[dict[str, str]]:
        """Rows of the repository index: by name, then version; a model that never got so far has its name only.

        As in Triton, a model of which the policy leaves no version is not listed.
        """
        rows: list[dict[str, str]] = []
        for name in sorted(self._entries.keys() & self._listed if self.repository_settled else self._entries):
            states = self._states[name]
            if not states and not only_ready:
                rows.append({"name": name})
            rows += [
                _index_row(name, number, states[number])
                for number in sorted(states)
                if states[number].state == READY or not only_ready
            ]
        return rows

    def all_ready(self) -> bool:
        """Whether the repository was examined and every version is ready or was unloaded on request."""
        return self._knows_all() and all(map(self._is_ready, self._entries.values()))

    def _knows_all(self) -> bool:
        """Whether the repository was examined and every entry has come; its status travels beside them."""
        return self.repository_settled and self._listed <= self._entries.keys()

    def _note_start(self) -> None:
        if not self.start_is_over and self._knows_all():
            states = (state for versions in self._states.values() for state, _ in versions.values())
            self.start_is_over = LOADING not in states

    def _is_ready(self, entry: ModelEntry) -> bool:
        """As in Triton, a model that failed before it had versions does not make the server unready."""
        states = self._states[entry.model].items()
        return all(state == READY or reason == _UNLOADED or number == NO_VERSION for number, (state, reason) in states)

    def _judge(self, name: str) -> None:
        entry = self._entries.get(name)
        if entry is None:
            return
        instances: Mapping[str, Iterable[InstanceStatus]] = self._instances.get(name, {})
        before, states = self._states.get(name), version_states(entry, instances, self._states.get)
        served = self._served[name]
        ready: dict[int | None, ServedVersion] = {
            number: served[number] for number in sorted(served) if states[number].state == READY
        }
        again: dict[int | None, ServedVersion] = {
            number: served[number]
            for number, before in sorted(self._versions_in_service(name))
            if before.generation == entry.generation and number in served and states[number].state == LOADING
        }
        in_service = {**again, **ready}
        if in_service:
            in_service[None] = next(reversed((ready or again).values()))
        self._ready[name], self._in_service[name] = ready, in_service
        self._states[name] = states
        if states != before:
            self._judge_ensembles_of(name)
        self._note_start()

    def _judge_ensembles_of(self, name: str) -> None:
        for ensemble, models in list(self._composing.items()):
            if name in models and ensemble != name:
                self._judge(ensemble)

    def _versions_in_service(self, name: str) -> list[tuple[int, ServedVersion]]:
        return [(number, found) for number, found in self._in_service.get(name, {}).items() if number is not None]

    def _why_not(self, name: str, version: int | None) -> ShoalError:
        states = self._states.get(name)
        if states is None:
            return NotFound(f"Request for unknown model: '{name}' is not found")
        if version is None:
            return _none_available(name, [number for number, (state, _) in states.items() if state == LOADING])
        if version not in states:
            return NotFound(f"Request for unknown model: '{name}' version {version} is not found")
        return Unavailable(f"Request for unknown model: '{name}' version {version} is not at ready state")


def _none_available(name: str, loading: list[int]) -> ShoalError:
    text = f"Request for unknown model: '{name}' has no available versions"
    # Triton says NOT_FOUND of a model that is being loaded, too; but here it may be the fault of a moment.
    return Unavailable(f"{text}; version {max(loading)} is being loaded") if loading else NotFound(text)


def _index_row(name: str, number: int, version: VersionState) -> dict[str, str]:
    row = {"name": name} if number == NO_VERSION else {"name": name, "version": str(number)}
    row["state"] = version.state
    return row | {"reason": version.reason} if version.reason else row
