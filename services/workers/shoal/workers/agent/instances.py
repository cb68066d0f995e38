"""Which instances a model entry asks of this worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shoal.core.desired import ModelEntry
from shoal.core.errors import InvalidArgument, ShoalError
from shoal.core.model_config import InstanceGroup, ModelConfig, from_json
from shoal.core.process_policy import RECYCLING, ProcessPolicy, process_policy
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.backend import InstanceSpec


class InstanceKey(NamedTuple):
    """An instance for ever: a generation is immutable, so the same key always means the same thing loaded."""

    model: str
    version: int
    generation: str
    name: str


class PlannedInstance(NamedTuple):
    """One instance to be loaded, or to be refused for `reason` (`<Code>: <message>`, empty when it can be loaded).

    `entry` is the desired state it comes from, kept because the model's entry may name another generation by the time
    this instance has to be loaded again.
    """

    key: InstanceKey
    entry: ModelEntry
    own_process: bool
    spec: InstanceSpec
    policy: ProcessPolicy
    reason: str


def planned_instances(entry: ModelEntry, info: BackendInfo) -> list[PlannedInstance]:
    """The instances of every version, in the order of versions and instance groups."""
    return [planned for version in sorted(entry.versions) for planned in _of_version(entry, version, info)]


def _of_version(entry: ModelEntry, version: int, info: BackendInfo) -> Iterator[PlannedInstance]:
    config = from_json(entry.versions[version].config)
    policy, refusal = _policy(config, info)
    for index, group in enumerate(_groups(entry.model, config)):
        kind = "CPU" if group.kind == "KIND_AUTO" else group.kind.removeprefix("KIND_")
        reason = refusal or _refusal(entry.model, group)
        for number in range(_count(group, kind, info)):
            name = f"{group.name or f'{entry.model}_{index}'}_{number}"
            key = InstanceKey(entry.model, version, entry.generation, name)
            spec = InstanceSpec(name, kind, 0)
            yield PlannedInstance(key, entry, info.backend.process_per_instance, spec, policy, reason)


def _policy(config: ModelConfig, info: BackendInfo) -> tuple[ProcessPolicy, str]:
    """What the parameters ask of the processes, or why that cannot be done."""
    try:
        if not info.backend.process_per_instance:
            _refuse_recycling(config, info.name)
        return process_policy(config.name, config.parameters), ""
    except ShoalError as error:
        return ProcessPolicy(), error.reason()


def _refuse_recycling(config: ModelConfig, backend: str) -> None:
    for name in RECYCLING:
        if name in config.parameters:
            raise InvalidArgument(
                f"parameter '{name}' of model '{config.name}' needs a process for each instance, but all instances of "
                f"backend '{backend}' share one; remove the parameter"
            )


def _groups(model: str, config: ModelConfig) -> tuple[InstanceGroup, ...]:
    return config.instance_groups or (InstanceGroup(name=model, kind="KIND_AUTO", count=0),)


def _count(group: InstanceGroup, kind: str, info: BackendInfo) -> int:
    if group.count > 0:
        return group.count
    return info.backend.default_cpu_count if kind == "CPU" else 1


def _refusal(model: str, group: InstanceGroup) -> str:
    if group.kind != "KIND_GPU":
        return ""
    text = f"instance group {group.name} of model {model} has kind KIND_GPU but no GPUs are available"
    return InvalidArgument(text).reason()
