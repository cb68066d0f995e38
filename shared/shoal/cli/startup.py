"""How far a start has come: which services were heard, which models are settled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shoal.core.desired import ModelEntry, RepositoryStatus
from shoal.core.messages import LOADING, READY, UNAVAILABLE, InstanceStatus
from shoal.core.readiness import VersionState, all_version_states

#: Stands for the version of a model that has none.
NO_VERSION = "-"


class ModelRow(NamedTuple):
    """A row of the start-up table: one version of a model (`NO_VERSION` where none could be made out)."""

    model: str
    version: str
    state: str
    reason: str


class Progress(NamedTuple):
    """How far a start has come. `missing` are the services not heard yet; `settled`: the repository examined every
    model of the start; `trouble` tells of a repository that cannot be read."""

    missing: tuple[str, ...]
    settled: bool
    trouble: str
    rows: tuple[ModelRow, ...]

    @property
    def loading(self) -> tuple[ModelRow, ...]:
        return tuple(row for row in self.rows if row.state == LOADING)

    @property
    def is_done(self) -> bool:
        """Every service is up, and every model is ready or has failed."""
        return not self.missing and self.settled and not self.loading

    @property
    def failed(self) -> tuple[ModelRow, ...]:
        return tuple(row for row in self.rows if row.state != READY)

    def awaited(self) -> str:
        """What is still to come, for a person who waits."""
        if self.missing:
            return "services " + ", ".join(self.missing)
        if not self.settled:
            return "the repository to examine its models"
        return "models " + ", ".join(f"{row.model} {row.version}" for row in self.loading)


def progress(
    missing: Iterable[str],
    status: RepositoryStatus | None,
    entries: Mapping[str, ModelEntry],
    instances_by_agent: Mapping[str, Iterable[InstanceStatus]],
) -> Progress:
    """Put together what was heard. `status` None: the repository has said nothing yet. `entries` by model; those
    that the repositories do not hold any more are left out."""
    if status is None:
        return Progress(tuple(missing), False, "", ())
    states = all_version_states(entries, instances_by_agent)
    rows: list[ModelRow] = []
    for model in sorted(status.models):
        entry = entries.get(model)
        rows += _rows(entry, states[model]) if entry else [ModelRow(model, NO_VERSION, LOADING, "")]
    return Progress(tuple(missing), status.settled, status.reason, tuple(rows))


def _rows(entry: ModelEntry, states: Mapping[int, VersionState]) -> list[ModelRow]:
    if not states:
        return [ModelRow(entry.model, NO_VERSION, UNAVAILABLE if entry.reason else LOADING, entry.reason)]
    return [ModelRow(entry.model, str(version), *states[version]) for version in sorted(states)]
