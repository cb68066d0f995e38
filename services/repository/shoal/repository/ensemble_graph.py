"""Rules for an ensemble against the models that it is composed of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem

_WHERE = "ensemble_scheduling"


class _Tensor(NamedTuple):
    """An ensemble tensor as one model sees it; `shape` is the full one, -1 for the batch and for variable sizes."""

    owner: str
    data_type: str
    shape: tuple[int, ...]


def composing_models(config: JsonForm, models: Mapping[str, JsonForm]) -> Iterator[Problem]:
    """`models` are the valid configurations by name; a model that has none cannot be a step."""
    names = {step["model_name"] for step in config[_WHERE]["step"]}
    missing = sorted(name for name in names if name not in models)
    if missing:
        yield Problem(
            f"ensemble {config['name']} contains models that are not available or ambiguous: {', '.join(missing)}",
            (_WHERE, missing[0]),
        )


def circular_dependency(config: JsonForm, models: Mapping[str, JsonForm]) -> Iterator[Problem]:
    cycle = _cycle(config["name"], models, ())
    if cycle:
        yield Problem(f"circular dependency between ensembles: {' -> '.join(cycle)}", (_WHERE, "step"))


def connections(config: JsonForm, models: Mapping[str, JsonForm]) -> Iterator[Problem]:
    """Names, datatypes, shapes and batch sizes of all steps whose model is in `models`."""
    tensors: dict[str, _Tensor] = {}
    for tensor in [*config["input"], *config["output"]]:
        tensors[tensor["name"]] = _tensor(config, tensor)
    for step in config[_WHERE]["step"]:
        model = models.get(step["model_name"])
        if model is not None:
            where = (_WHERE, step["model_name"])
            yield from (Problem(text, where) for text in _step(config, step, model, tensors))


def decoupled_joins(config: JsonForm, models: Mapping[str, JsonForm]) -> Iterator[Problem]:
    """A step cannot wait for the answers of two decoupled models: nothing says which belong together."""
    origin: dict[str, frozenset[int]] = {}
    waiting = list(enumerate(config[_WHERE]["step"]))
    ready = {tensor["name"] for tensor in config["input"]}
    while startable := [(n, step) for n, step in waiting if ready.issuperset(step["input_map"].values())]:
        for number, step in startable:
            sources = frozenset[int]().union(*(origin.get(name, frozenset()) for name in step["input_map"].values()))
            if len(sources) > 1:
                yield Problem(
                    f"step {number} of ensemble '{config['name']}' receives inputs originated from different decoupled"
                    " models",
                    (_WHERE, "step"),
                )
            mine = frozenset({number}) if _is_decoupled(models.get(step["model_name"], {})) else sources
            for name in step["output_map"].values():
                origin[name] = mine
            ready |= set(step["output_map"].values())
        waiting = [pair for pair in waiting if pair not in startable]


def _is_decoupled(config: Mapping[str, Any]) -> bool:
    return bool(config.get("model_transaction_policy", {}).get("decoupled"))


def _step(config: JsonForm, step: dict[str, Any], model: JsonForm, tensors: dict[str, _Tensor]) -> Iterator[str]:
    ensemble, name = config["name"], model["name"]
    allowed, wanted = model["max_batch_size"], config["max_batch_size"]
    if allowed and wanted > allowed:
        yield (
            f"ensemble {ensemble} allows maximum batch size {wanted}, but it contains model {name} which only allows"
            f" maximum batch size to be {allowed}"
        )
    for kind, mapping in (("input", step["input_map"]), ("output", step["output_map"])):
        known = {tensor["name"]: tensor for tensor in model[kind]}
        for tensor_name, ensemble_name in mapping.items():
            if tensor_name not in known:
                yield f"ensemble {ensemble} maps to non-existing {kind} '{tensor_name}' of model {name}"
                continue
            tensor = _tensor(model, known[tensor_name])
            yield from _connect(ensemble, ensemble_name, tensors.setdefault(ensemble_name, tensor), tensor)
    for tensor in model["input"]:
        if not tensor["optional"] and tensor["name"] not in step["input_map"]:
            yield f"ensemble {ensemble} does not map input '{tensor['name']}' of model {name}"


def _connect(ensemble: str, name: str, one: _Tensor, other: _Tensor) -> Iterator[str]:
    if one.data_type != other.data_type:
        yield (
            f"in ensemble {ensemble}, ensemble tensor {name}: inconsistent data type: {one.data_type} is inferred from"
            f" model {one.owner} while {other.data_type} is inferred from model {other.owner}"
        )
    elif not _agree(one.shape, other.shape):
        yield (
            f"in ensemble {ensemble}, ensemble tensor {name}: inconsistent shape: {list(one.shape)} is inferred from"
            f" model {one.owner} while {list(other.shape)} is inferred from model {other.owner}"
        )


def _agree(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))


def _tensor(config: JsonForm, tensor: dict[str, Any]) -> _Tensor:
    batch = (-1,) if config["max_batch_size"] > 0 else ()
    return _Tensor(config["name"], tensor["data_type"], (*batch, *tensor["dims"]))


def _cycle(name: str, models: Mapping[str, JsonForm], path: tuple[str, ...]) -> tuple[str, ...]:
    """The first way from the last of `path` back to its first; empty without one."""
    if name in path:
        return (*path, name) if name == path[0] else ()
    for step in models.get(name, {}).get(_WHERE, {}).get("step", ()):
        if found := _cycle(step["model_name"], models, (*path, name)):
            return found
    return ()
