"""What the owner of the repository does from the day it became the owner.

It examines every model of its repositories once (model control mode `none`), publishes an entry for each in bucket
`desired`, tells in bucket `repository` when it has been through, and then waits for workers that are still missing.
"""

from __future__ import annotations

import asyncio

from shoal.core import desired
from shoal.core.desired import ModelEntry, RepositoryStatus
from shoal.core.errors import ShoalError
from shoal.core.messages import V1
from shoal.repository import catalogue, ensembles, entries
from shoal.repository.agents import Agents
from shoal.repository.catalogue import Catalogue
from shoal.repository.config.json_form import JsonForm
from shoal.repository.examine import Examiner, Finding
from shoal.repository.publisher import Publisher
from shoal.repository.settings import RepositorySettings
from shoal.telemetry.logs import get_logger

STATUS_KEY = "status"

_log = get_logger("repository")


class Tenure:
    """One period of ownership; `run` is its whole life and ends by cancellation."""

    def __init__(
        self, agents: Agents, settings: RepositorySettings, desired_state: Publisher, status: Publisher
    ) -> None:
        self._agents = agents
        self._settings = settings
        self._examiner = Examiner(agents, settings)
        self._desired = desired_state
        self._status = status
        self._findings: dict[str, Finding] = {}

    async def run(self) -> None:
        found = await asyncio.to_thread(catalogue.find, self._settings.repositories)
        if found.reason:
            _log.error("repository not read", reason=found.reason)
        published = self._desired.published()
        for model in published.keys() - set(found.names):
            self._desired.delete(model)
        if STATUS_KEY not in self._status.published():
            self._tell_status(found, settled=False)
        await self._examine(found, published)
        await self._desired.written()
        self._tell_status(found, settled=True)
        await self._follow_workers()

    async def _examine(self, found: Catalogue, published: dict[str, bytes]) -> None:
        for model in found.duplicates:
            self._publish(Finding(entries.duplicate(model), None))
        async with asyncio.TaskGroup() as examining:
            for model, directory in found.directories.items():
                examining.create_task(self._examine_model(model, directory, published.get(model)))
        await self._examine_ensembles()

    async def _examine_model(self, model: str, directory: str, published: bytes | None) -> None:
        finding = await self._examiner.read(model, directory)
        known = _decoded(published)
        if finding.draft is None:
            self._publish(finding)
            return
        if known is not None and entries.is_current(known, finding.draft):
            self._publish(finding._replace(entry=known))
            return
        if known is None:
            # Whoever asks meanwhile finds a model that is being loaded; one that is being served stays as it is.
            self._desired.put(model, desired.encode(finding.entry))
        if finding.draft.is_ensemble:
            self._findings[model] = finding
        else:
            self._publish(await self._examiner.complete(finding.draft))

    async def _examine_ensembles(self) -> None:
        """Last, since an ensemble is checked against the models that it is composed of."""
        drafts = {
            name: found.draft for name, found in self._findings.items() if found.draft and found.draft.is_ensemble
        }
        for draft in ensembles.in_order(drafts):
            found = self._findings
            models = {name: config for name, finding in found.items() if (config := _config(finding)) is not None}
            known = {name: finding.entry for name, finding in found.items()}
            self._publish(await self._examiner.complete_ensemble(draft, models, known))

    async def _follow_workers(self) -> None:
        """Try models again that no worker could serve, when one comes that can."""
        while True:
            changed = asyncio.create_task(self._agents.changed())
            try:
                await self._complete_waiting()
                await changed
            finally:
                changed.cancel()

    async def _complete_waiting(self) -> None:
        backends = self._agents.backends()
        waiting = [f.draft for f in self._findings.values() if f.lacks_worker and f.draft is not None]
        ready = [draft for draft in waiting if draft.backend in backends]
        if not ready:
            return
        for finding in await asyncio.gather(*map(self._examiner.complete, ready)):
            self._publish(finding)
        await self._examine_ensembles()

    def _publish(self, finding: Finding) -> None:
        entry = finding.entry
        self._findings[entry.model] = finding
        self._desired.put(entry.model, desired.encode(entry))
        if entry.reason:
            _log.error("model not loadable", model=entry.model, reason=entry.reason)
        else:
            versions = ",".join(map(str, sorted(entry.versions)))
            _log.info("model published", model=entry.model, versions=versions, generation=entry.generation)

    def _tell_status(self, found: Catalogue, settled: bool) -> None:
        names = tuple(name for name in found.names if name not in self._findings or self._findings[name].is_listed)
        self._status.put(STATUS_KEY, desired.encode(RepositoryStatus(V1, settled, names, found.reason)))
        if settled:
            failed = sum(bool(finding.entry.reason) for finding in self._findings.values())
            _log.info("repositories examined", models=len(self._findings), failed=failed)


def _config(finding: Finding) -> JsonForm | None:
    """The configuration that an ensemble is checked against: completed, or as it is written for an ensemble whose turn
    has not come. None for a model that cannot be served."""
    if finding.entry.versions:
        return finding.entry.versions[max(finding.entry.versions)].config
    is_next = finding.draft is not None and finding.draft.is_ensemble and not finding.entry.reason
    return finding.draft.config if finding.draft is not None and is_next else None


def _decoded(entry: bytes | None) -> ModelEntry | None:
    """An entry of the bucket; None for one of another release, which is written anew."""
    try:
        return None if entry is None else desired.decode_model(entry)
    except ShoalError:
        return None
