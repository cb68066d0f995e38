"""Which generation of which model is served."""

from __future__ import annotations

from shoal.scheduler.events import ModelConfigured, ModelRemoved
from shoal.scheduler.served import ServedVersion
from shoal.scheduler.state import State

#: Generations of a model that are remembered as outdated; requests for others are taken for newer than our view.
_SUPERSEDED_LIMIT = 8


def configured(state: State, event: ModelConfigured, now: int) -> list[ServedVersion]:
    """Serve this generation, and no other one of the model. The versions that something has to be done about."""
    model, generation, versions = event
    _supersede(state, model, generation)
    state.generations[model] = generation
    state.versions[model] = tuple(sorted(versions, reverse=True))
    for version, config in versions.items():
        key = (model, version, generation)
        served = state.served.get(key)
        if served is None:
            served = state.served[key] = ServedVersion(key, config, state.pool(key, now))
            served.pool.configure(config)
        served.retired = None
    retired = [
        served
        for key, served in state.served.items()
        if key[0] == model and not (key[2] == generation and key[1] in versions)
    ]
    for served in retired:
        served.retired = "removed" if served.key[2] == generation else "superseded"
    return retired


def removed(state: State, event: ModelRemoved) -> list[ServedVersion]:
    """Serve a model no more. The versions that something has to be done about."""
    state.generations.pop(event.model, None)
    state.versions.pop(event.model, None)
    state.superseded.pop(event.model, None)
    retired = [served for key, served in state.served.items() if key[0] == event.model]
    for served in retired:
        served.retired = "removed"
    return retired


def _supersede(state: State, model: str, generation: str) -> None:
    before = state.generations.get(model)
    outdated = [found for found in state.superseded.get(model, ()) if found != generation]
    if before not in (None, generation):
        outdated.append(str(before))
    state.superseded[model] = tuple(outdated[-_SUPERSEDED_LIMIT:])
