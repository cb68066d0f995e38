"""Examines models: from a directory to the entry that is published, with blocking work in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.errors import InternalError, ShoalError
from shoal.repository import draft, ensembles, entries, snapshot
from shoal.repository.agents import Agents, NoWorker, Question
from shoal.repository.config.json_form import JsonForm
from shoal.repository.draft import Draft
from shoal.repository.settings import RepositorySettings
from shoal.repository.snapshot import Snapshot
from shoal.repository.versions import NoVersion
from shoal.telemetry.logs import get_logger

#: A directory is read when nothing in it was written for this long, so that a copy in progress is not taken for whole;
#: one that never rests is read all the same.
QUIET_S = 0.2
QUIET_LIMIT_S = 5.0

_log = get_logger("repository")


class Finding(NamedTuple):
    """What became of a model. `draft` is None when its directory gave none. `is_listed`: Triton's index does not even
    name a model whose version policy leaves nothing. `lacks_worker`: a worker with the backend would change this."""

    entry: ModelEntry
    draft: Draft | None
    is_listed: bool = True
    lacks_worker: bool = False


class Examiner:
    """Reads drafts and completes them, `settings.load_threads` at once."""

    def __init__(self, agents: Agents, settings: RepositorySettings) -> None:
        self._agents = agents
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.load_threads)

    async def read(self, model: str, directory: str) -> Finding:
        """The model's draft, with a placeholder for an entry; or the entry that says why there is none."""
        try:
            async with self._slots:
                contents = await _quiet_snapshot(directory)
                made = await asyncio.to_thread(draft.make, contents, self._settings)
        except Exception as error:  # whatever is wrong with one model, the others are served
            entry = entries.without_versions(model, directory, _foreseen(error, model))
            return Finding(entry, None, is_listed=not isinstance(error, NoVersion))
        for folder in made.ignored_folders:
            _log.warning("folder ignored", model=model, folder=folder, expected="a version number without leading zero")
        return Finding(entries.being_examined(model, directory), made)

    async def complete(self, found: Draft) -> Finding:
        """The entry of a model that is no ensemble. Waits up to `settings.worker_wait_s` for a worker to come."""
        outcomes = await asyncio.gather(*(self._complete_version(found, version) for version in found.versions))
        errors = {version: outcome for version, outcome in outcomes if isinstance(outcome, ShoalError)}
        if errors:
            lacks_worker = any(isinstance(error, NoWorker) for error in errors.values())
            return Finding(entries.failed(found, errors), found, lacks_worker=lacks_worker)
        versions = {version: outcome for version, outcome in outcomes if not isinstance(outcome, ShoalError)}
        return Finding(entries.served(found, versions), found)

    async def complete_ensemble(
        self, found: Draft, models: Mapping[str, JsonForm], entries_by_model: Mapping[str, ModelEntry]
    ) -> Finding:
        """The entry of an ensemble; `models` are the valid configurations of all models by name, `entries_by_model`
        what was found out about them."""
        try:
            version = await asyncio.to_thread(ensembles.finish, found, models, entries_by_model)
        except Exception as error:  # as in `read`
            return Finding(entries.without_versions(found.model, found.directory, _foreseen(error, found.model)), found)
        return Finding(entries.served(found, dict.fromkeys(found.versions, version)), found)

    async def _complete_version(self, found: Draft, version: int) -> tuple[int, VersionEntry | ShoalError]:
        try:
            # Whoever waits for a worker must not keep others from being examined.
            await self._agents.choose(found.backend, self._settings.worker_wait_s)
            async with self._slots:
                completed = await self._describe(found, version) if self._settings.completes else None
                return version, await asyncio.to_thread(draft.finish, found, completed)
        except Exception as error:  # as in `read`
            return version, _foreseen(error, found.model)

    async def _describe(self, found: Draft, version: int) -> str:
        question = Question(found.model, version, found.directory, found.config_json(), found.backend_config)
        return await self._agents.describe(found.backend, question, self._settings.worker_wait_s)


def _foreseen(error: Exception, model: str) -> ShoalError:
    if isinstance(error, ShoalError):
        return error
    _log.exception("model not examined", model=model)
    return InternalError(f"{type(error).__name__}: {error}")


async def _quiet_snapshot(directory: str) -> Snapshot:
    give_up_at = time.monotonic() + QUIET_LIMIT_S
    while True:
        contents = await asyncio.to_thread(snapshot.take, directory)
        remaining_s = snapshot.quiet_in_ns(contents, time.time_ns(), int(QUIET_S * 1e9)) / 1e9
        if remaining_s <= 0 or time.monotonic() + remaining_s > give_up_at:
            return contents
        await asyncio.sleep(remaining_s)
