"""Ensembles are finished last and from the inside out: each from its draft and the models that it is composed of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from shoal.core.desired import ModelEntry, VersionEntry
from shoal.repository import labels, validate
from shoal.repository.config.json_form import JsonForm
from shoal.repository.draft import Draft
from shoal.repository.problems import Problem, check

_WHERE = "ensemble_scheduling"


def in_order(drafts: Mapping[str, Draft]) -> Iterator[Draft]:
    """Ensembles, by name, each after those that it is composed of; those in a circle in any order."""
    visited: set[str] = set()

    def visit(name: str) -> Iterator[Draft]:
        if name in visited or name not in drafts:
            return
        visited.add(name)
        for step in _steps(drafts[name].config):
            yield from visit(step["model_name"])
        yield drafts[name]

    for name in sorted(drafts):
        yield from visit(name)


def finish(draft: Draft, models: Mapping[str, JsonForm], entries: Mapping[str, ModelEntry]) -> VersionEntry:
    """An ensemble as it is to be served: decoupled when a step is, and with the labels of the steps for its outputs
    without a label file. `models` are the configurations by name that it is checked against (one that has none is not
    valid), `entries` what was made of each model. Blocks while label files are read.

    Raises InvalidArgument with everything that is wrong, InternalError for a label file that cannot be read.
    """
    source = draft.source
    check(_dependencies(draft.config, models, entries), source.name, source.line_of)
    check(validate.ensemble(draft.config, models), source.name, source.line_of)
    config = deepcopy(draft.config)
    is_decoupled = any(_is_decoupled(models[step["model_name"]]) for step in _steps(config))
    config["model_transaction_policy"] = {"decoupled": is_decoupled}
    return VersionEntry(config, _inherited_labels(config, entries) | labels.read(config, draft.directory))


def _dependencies(
    config: JsonForm, models: Mapping[str, JsonForm], entries: Mapping[str, ModelEntry]
) -> Iterator[Problem]:
    """Models that are there and cannot be served, and versions that will not be."""
    for step in _steps(config):
        name, version = step["model_name"], step["model_version"]
        entry = entries.get(name)
        if entry is None:
            continue
        start = f"ensemble '{config['name']}' depends on '{name}' "
        if name in models:
            if version != -1 and entry.versions and version not in entry.versions:
                yield Problem(f"{start}whose required version {version} is not loaded.", (_WHERE, name))
        elif entry.failed_versions:
            text = f"which has no loaded version. Model '{name}' loading failed with error: {entry.reason}"
            yield Problem(start + text, (_WHERE, name))
        else:
            yield Problem(
                f"{start}which is not valid. Model '{name}' failed with error: {entry.reason}", (_WHERE, name)
            )


def _inherited_labels(config: JsonForm, entries: Mapping[str, ModelEntry]) -> dict[str, list[str]]:
    outputs = {output["name"] for output in config["output"]}
    found: dict[str, list[str]] = {}
    for step in _steps(config):
        versions = entries[step["model_name"]].versions
        version = step["model_version"]
        known = versions[max(versions) if version == -1 else version].labels if versions else {}
        for output, tensor in step["output_map"].items():
            if tensor in outputs and output in known:
                found[tensor] = known[output]
    return found


def _is_decoupled(config: JsonForm) -> bool:
    return bool(config.get("model_transaction_policy", {}).get("decoupled"))


def _steps(config: JsonForm) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = config[_WHERE]["step"]
    return steps
