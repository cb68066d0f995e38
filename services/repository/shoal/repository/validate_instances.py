"""Rules for `instance_group`, after normalisation: every group has a name, a kind other than AUTO and a count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shoal.repository.config.json_form import JsonForm
from shoal.repository.problems import Problem

#: Of one group on one device.
MOST_INSTANCES = 1024


def devices(config: JsonForm, gpus: Sequence[int]) -> Iterator[Problem]:
    """Every group against the GPUs that models can use (their numbers)."""
    for group in config["instance_group"]:
        prefix = f"instance group {group['name']} of model {config['name']}"
        for text in _devices(group["kind"], group["gpus"], gpus):
            yield Problem(f"{prefix} {text}", ("instance_group",))


def _devices(kind: str, wanted: Sequence[int], gpus: Sequence[int]) -> Iterator[str]:
    if kind in ("KIND_CPU", "KIND_MODEL") and wanted:
        yield f"has kind {kind} but specifies one or more GPUs"
    if kind != "KIND_GPU":
        return
    if not wanted or not gpus:
        yield "has kind KIND_GPU but no GPUs are available"
        return
    for gpu in wanted:
        if gpu not in gpus:
            yield f"specifies invalid or unsupported gpu id {gpu}. GPUs available: {', '.join(map(str, gpus))}"


def counts(config: JsonForm) -> Iterator[Problem]:
    """A count beyond any machine would occupy the worker with planning instances that it can never load."""
    for group in config["instance_group"]:
        if group["count"] > MOST_INSTANCES:
            prefix = f"instance group {group['name']} of model {config['name']}"
            yield Problem(
                f"{prefix} has count {group['count']}, expected at most {MOST_INSTANCES}", ("instance_group",)
            )


def profiles(config: JsonForm) -> Iterator[Problem]:
    for group in config["instance_group"]:
        prefix = f"instance group {group['name']} of model {config['name']}"
        if group["profile"] and config["backend"] != "tensorrt":
            yield Problem(
                f"{prefix} specifies profile field which is only supported for TensorRT models",
                ("instance_group", "profile"),
            )
        elif any(not profile.isdecimal() for profile in group["profile"]):
            yield Problem(f"{prefix} has profile {group['profile']}, expected integers >= 0", ("instance_group",))


def unique_names(config: JsonForm) -> Iterator[Problem]:
    """Instances are named after their group, so two groups must not share a name."""
    names = [group["name"] for group in config["instance_group"]]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(
            f"instance group name '{name}' is used more than once for {config['name']}", ("instance_group", name)
        )
