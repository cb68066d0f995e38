"""Rules for `sequence_batching`: controls, strategies, states and their initial values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem

_WHERE = "sequence_batching"
_CORRID = "CONTROL_SEQUENCE_CORRID"
_CORRID_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
_FLAG_LISTS = ("int32_false_true", "fp32_false_true", "bool_false_true")


def controls(config: JsonForm) -> Iterator[Problem]:
    seen: set[str] = set()
    for tensor in config.get(_WHERE, {}).get("control_input", ()):
        where = (_WHERE, "control_input", tensor["name"])
        kinds = [control["kind"] for control in tensor["control"]]
        texts = [*_control_tensor(tensor["name"], kinds)]
        texts += [f"sequence batching specifies multiple {kind} tensors" for kind in kinds if kind in seen]
        texts += [text for control in tensor["control"] for text in _control(tensor["name"], control)]
        seen.update(kinds)
        yield from (Problem(f"{text} for {config['name']}", where) for text in texts)


def _control_tensor(name: str, kinds: list[str]) -> Iterator[str]:
    if not name:
        yield "sequence batching control tensor must have a name"
    if not kinds:
        yield f"sequence batching control tensor '{name}' must specify 'control'"
    elif len(kinds) > 1:
        yield f"sequence batching control tensor '{name}' must specify one control kind, got {', '.join(kinds)}"


def _control(name: str, control: dict[str, Any]) -> Iterator[str]:
    kind = control["kind"]
    given = [field for field in _FLAG_LISTS if control[field]]
    tensor = f"sequence batching control tensor '{name}'"
    if kind == _CORRID:
        if given:
            yield f"{tensor} must not specify '{given[0]}' for {kind}"
        if control["data_type"] not in _CORRID_TYPES:
            yield f"{tensor} must specify 'data_type' as one of {', '.join(_CORRID_TYPES)} for {kind}"
    elif len(given) != 1:
        yield (
            f"{tensor} must specify exactly one of 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for"
            f" {kind}"
        )
    elif len(control[given[0]]) != 2:
        yield f"{tensor} must specify '{given[0]}' with exactly 2 entries for {kind}"


def strategy(config: JsonForm) -> Iterator[Problem]:
    batching, model = config.get(_WHERE, {}), config["name"]
    if "direct" in batching and not 0.0 <= batching["direct"]["minimum_slot_utilization"] <= 1.0:
        yield Problem(
            f"sequence batching minimum slot utilization must be in range [0.0, 1.0] for {model}",
            (_WHERE, "minimum_slot_utilization"),
        )
    oldest = batching.get("oldest", {})
    where = (_WHERE, "oldest", "preferred_batch_size")
    for size in oldest.get("preferred_batch_size", ()):
        if size <= 0:
            yield Problem(f"sequence batching preferred batch size must be positive for {model}", where)
        elif size > config["max_batch_size"]:
            yield Problem(f"sequence batching preferred batch size must be <= max batch size for {model}", where)
    if oldest.get("max_candidate_sequences", 0) < 0:
        yield Problem(
            f"sequence batching max_candidate_sequences must be >= 0 for {model}", (_WHERE, "max_candidate_sequences")
        )


def states(config: JsonForm) -> Iterator[Problem]:
    seen: set[str] = set()
    for state in config.get(_WHERE, {}).get("state", ()):
        names = {state["input_name"], state["output_name"]}
        texts = [*_state(state), *_initial_states(state)]
        texts += [f"sequence batching state name '{name}' can only be specified once" for name in sorted(names & seen)]
        seen |= names
        where = (_WHERE, "state", state["input_name"])
        yield from (Problem(f"{text} for {config['name']}", where) for text in texts)


def _state(state: dict[str, Any]) -> Iterator[str]:
    prefix = f"sequence batching state '{state['input_name']}'"
    for field in ("input_name", "output_name", "dims"):
        if not state[field]:
            yield f"{prefix} must specify '{field}'"
    if state["data_type"] == "TYPE_INVALID":
        yield f"{prefix} must specify 'data_type'"
    if any(size < 1 and size != -1 for size in state["dims"]):
        yield f"{prefix} dimension must be integer >= 1, or -1 to indicate a variable-size dimension"


def _initial_states(state: dict[str, Any]) -> Iterator[str]:
    found = state["initial_state"]
    prefix = f"initial state of sequence batching state '{state['input_name']}'"
    if len(found) > 1:
        yield f"{prefix} can be specified only once, got {len(found)}"
    for initial in found:
        yield from (f"{prefix} {text}" for text in _initial_state(state, initial))


def _initial_state(state: dict[str, Any], initial: dict[str, Any]) -> Iterator[str]:
    dims, expected = [int(size) for size in initial["dims"]], state["dims"]
    if not initial["name"]:
        yield "must specify 'name'"
    if "zero_data" not in initial and "data_file" not in initial:
        yield "must specify 'zero_data' or 'data_file'"
    if initial["data_type"] != state["data_type"]:
        yield f"has data_type {initial['data_type']}, expected {state['data_type']}"
    if len(dims) != len(expected):
        yield f"has {len(dims)} dims, expected {len(expected)}"
    elif any(size < 1 for size in dims):
        yield f"must not have variable-size dims, got {dims}"
    elif any(size not in (wanted, -1) and wanted != -1 for size, wanted in zip(dims, expected, strict=True)):
        yield f"has dims {dims}, expected {expected}"
