"""Rules for an ensemble's own configuration: its steps and the flow of tensors between them."""

from __future__ import annotations

from collections.abc import Iterator

from shoal.repository import platforms
from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem

_WHERE = "ensemble_scheduling"


def scheduling(config: JsonForm) -> Iterator[Problem]:
    model, is_ensemble = config["name"], config["platform"] == platforms.ENSEMBLE
    if _WHERE in config and not is_ensemble:
        yield Problem(
            f"ensemble scheduling cannot be set for model '{model}' whose platform is not ensemble", (_WHERE,)
        )
    if _WHERE not in config and is_ensemble:
        yield Problem(
            f"ensemble scheduling must be set for ensemble '{model}' whose platform is ensemble", ("platform",)
        )


def forbidden_fields(config: JsonForm) -> Iterator[Problem]:
    if _WHERE not in config:
        return
    for field in ("instance_group", "optimization", "model_warmup"):
        if config.get(field):
            yield Problem(f"{field} should not be specified for ensemble '{config['name']}'", (field,))


def steps(config: JsonForm) -> Iterator[Problem]:
    if _WHERE not in config:
        return
    model = config["name"]
    if not config[_WHERE]["step"]:
        yield Problem(f"must specify 'step' for ensemble '{model}'", (_WHERE,))
    for number, step in enumerate(config[_WHERE]["step"]):
        for field in ("model_name", "input_map", "output_map"):
            if not step[field]:
                yield Problem(f"must specify '{field}' in step {number} of ensemble '{model}'", (_WHERE, "step"))
        for field in ("input_map", "output_map"):
            for tensor, ensemble_tensor in step[field].items():
                if not tensor or not ensemble_tensor:
                    yield Problem(
                        f"{field} of step {number} of ensemble '{model}' must name a tensor of the model and a tensor"
                        " of the ensemble",
                        (_WHERE, "step"),
                    )


def flow(config: JsonForm) -> Iterator[Problem]:
    """Every tensor is written once, every one that is read is written, none is left unused."""
    if _WHERE not in config:
        return
    model, steps = config["name"], config[_WHERE]["step"]
    inputs = [tensor["name"] for tensor in config["input"]]
    outputs = [tensor["name"] for tensor in config["output"]]
    written = [tensor for step in steps for tensor in step["output_map"].values()]
    read = {tensor for step in steps for tensor in step["input_map"].values()}
    for tensor in _repeated(inputs + written):
        yield Problem(f"ensemble tensor '{tensor}' is written more than once in ensemble '{model}'", (_WHERE, tensor))
    for tensor in sorted(read - set(inputs) - set(written)):
        yield Problem(f"ensemble tensor '{tensor}' is read but never written in ensemble '{model}'", (_WHERE, tensor))
    for tensor in sorted(set(outputs) - set(inputs) - set(written)):
        yield Problem(f"ensemble output '{tensor}' is written by no step of ensemble '{model}'", ("output", tensor))
    for tensor in sorted((set(inputs) | set(written)) - read - set(outputs)):
        yield Problem(f"ensemble tensor '{tensor}' is unused in ensemble '{model}'", (tensor,))


def circular(config: JsonForm) -> Iterator[Problem]:
    """Steps that wait for one another can never start."""
    if _WHERE not in config:
        return
    waiting = list(config[_WHERE]["step"])
    ready = {tensor["name"] for tensor in config["input"]}
    while startable := [step for step in waiting if ready.issuperset(step["input_map"].values())]:
        ready |= {tensor for step in startable for tensor in step["output_map"].values()}
        waiting = [step for step in waiting if step not in startable]
    written = ready | {tensor for step in waiting for tensor in step["output_map"].values()}
    stuck = [step["model_name"] for step in waiting if written.issuperset(step["input_map"].values())]
    if stuck:
        yield Problem(
            f"steps of ensemble '{config['name']}' wait for one another's outputs: {', '.join(stuck)}", (_WHERE, "step")
        )


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
