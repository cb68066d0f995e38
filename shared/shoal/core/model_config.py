"""A model's configuration as Shoal's services use it: plain frozen values, read from the JSON form.

The JSON form is what `/v2/models/M/config` answers (protobuf field names, 64-bit integers as numbers, defaults
present); only the repository reads `config.pbtxt`. Fields that nobody but a backend reads stay in `raw`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shoal.core.datatypes import from_config

TimeoutAction = Literal["REJECT", "DELAY"]


@dataclass(frozen=True, slots=True)
class ModelInput:
    """`dims` exclude the batch dimension; -1 is variable. `reshape` is what the backend sees, None without one."""

    name: str
    datatype: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    allow_ragged_batch: bool = False
    optional: bool = False
    is_shape_tensor: bool = False


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """`dims` exclude the batch dimension; the backend produces `reshape` where there is one, the client sees `dims`."""

    name: str
    datatype: str
    dims: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    label_filename: str = ""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Times in microseconds, 0 for none; `max_queue_size` in requests, 0 for no limit."""

    timeout_action: TimeoutAction = "REJECT"
    default_timeout_us: int = 0
    allow_timeout_override: bool = False
    max_queue_size: int = 0


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """`priority_levels` 0 means no priorities; level 1 is served first."""

    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    preserve_ordering: bool = False
    priority_levels: int = 0
    default_priority_level: int = 0
    default_queue_policy: QueuePolicy = QueuePolicy()
    priority_queue_policy: Mapping[int, QueuePolicy] | None = None

    def queue_policy(self, level: int) -> QueuePolicy:
        return (self.priority_queue_policy or {}).get(level, self.default_queue_policy)


@dataclass(frozen=True, slots=True)
class InstanceGroup:
    """`count` instances per device of `gpus`, or in all on the CPU; a passive group is loaded and never scheduled."""

    name: str
    kind: str
    count: int
    gpus: tuple[int, ...] = ()
    passive: bool = False


@dataclass(frozen=True, slots=True)
class EnsembleStep:
    """One request that an ensemble makes. `inputs` and `outputs` map tensors of the model to tensors of the ensemble;
    `version` -1 is the highest one that is ready."""

    model: str
    version: int
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EnsembleScheduling:
    """`max_inflight_requests` bounds the requests of one step over all requests of the ensemble; 0: no bound."""

    steps: tuple[EnsembleStep, ...]
    max_inflight_requests: int = 0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """One version's completed configuration. `raw` is the JSON form, to be treated as read-only."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    inputs: tuple[ModelInput, ...]
    outputs: tuple[ModelOutput, ...]
    instance_groups: tuple[InstanceGroup, ...]
    dynamic_batching: DynamicBatching | None
    ensemble_scheduling: EnsembleScheduling | None
    decoupled: bool
    default_model_filename: str
    parameters: Mapping[str, str]
    raw: Mapping[str, Any]

    @property
    def has_sequence_batching(self) -> bool:
        return "sequence_batching" in self.raw

    @property
    def is_ensemble(self) -> bool:
        return self.ensemble_scheduling is not None

    def input(self, name: str) -> ModelInput | None:
        return next((i for i in self.inputs if i.name == name), None)

    def output(self, name: str) -> ModelOutput | None:
        return next((o for o in self.outputs if o.name == name), None)


def from_json(raw: Mapping[str, Any]) -> ModelConfig:
    """The values behind a configuration's JSON form; absent fields take protobuf's defaults."""
    batching = raw.get("dynamic_batching")
    ensemble = raw.get("ensemble_scheduling")
    return ModelConfig(
        name=raw.get("name", ""),
        platform=raw.get("platform", ""),
        backend=raw.get("backend", ""),
        max_batch_size=raw.get("max_batch_size", 0),
        inputs=tuple(map(_input, raw.get("input", ()))),
        outputs=tuple(map(_output, raw.get("output", ()))),
        instance_groups=tuple(map(_instance_group, raw.get("instance_group", ()))),
        dynamic_batching=None if batching is None else _dynamic_batching(batching),
        ensemble_scheduling=None if ensemble is None else _ensemble_scheduling(ensemble),
        decoupled=raw.get("model_transaction_policy", {}).get("decoupled", False),
        default_model_filename=raw.get("default_model_filename", ""),
        parameters={key: value.get("string_value", "") for key, value in raw.get("parameters", {}).items()},
        raw=raw,
    )


def _reshape(raw: Mapping[str, Any]) -> tuple[int, ...] | None:
    return tuple(raw["reshape"].get("shape", ())) if "reshape" in raw else None


def _input(raw: Mapping[str, Any]) -> ModelInput:
    return ModelInput(
        name=raw["name"],
        datatype=from_config(raw["data_type"]),
        dims=tuple(raw["dims"]),
        reshape=_reshape(raw),
        allow_ragged_batch=raw.get("allow_ragged_batch", False),
        optional=raw.get("optional", False),
        is_shape_tensor=raw.get("is_shape_tensor", False),
    )


def _output(raw: Mapping[str, Any]) -> ModelOutput:
    return ModelOutput(
        name=raw["name"],
        datatype=from_config(raw["data_type"]),
        dims=tuple(raw["dims"]),
        reshape=_reshape(raw),
        label_filename=raw.get("label_filename", ""),
    )


def _instance_group(raw: Mapping[str, Any]) -> InstanceGroup:
    return InstanceGroup(
        name=raw.get("name", ""),
        kind=raw.get("kind", "KIND_CPU"),
        count=raw.get("count", 1),
        gpus=tuple(raw.get("gpus", ())),
        passive=raw.get("passive", False),
    )


def _queue_policy(raw: Mapping[str, Any]) -> QueuePolicy:
    return QueuePolicy(
        timeout_action=raw.get("timeout_action", "REJECT"),
        default_timeout_us=raw.get("default_timeout_microseconds", 0),
        allow_timeout_override=raw.get("allow_timeout_override", False),
        max_queue_size=raw.get("max_queue_size", 0),
    )


def _dynamic_batching(raw: Mapping[str, Any]) -> DynamicBatching:
    return DynamicBatching(
        preferred_batch_sizes=tuple(raw.get("preferred_batch_size", ())),
        max_queue_delay_us=raw.get("max_queue_delay_microseconds", 0),
        preserve_ordering=raw.get("preserve_ordering", False),
        priority_levels=raw.get("priority_levels", 0),
        default_priority_level=raw.get("default_priority_level", 0),
        default_queue_policy=_queue_policy(raw.get("default_queue_policy", {})),
        priority_queue_policy={
            int(level): _queue_policy(policy) for level, policy in raw.get("priority_queue_policy", {}).items()
        },
    )


def _ensemble_scheduling(raw: Mapping[str, Any]) -> EnsembleScheduling:
    steps = tuple(
        EnsembleStep(
            model=step.get("model_name", ""),
            version=step.get("model_version", 0),
            inputs=step.get("input_map", {}),
            outputs=step.get("output_map", {}),
        )
        for step in raw.get("step", ())
    )
    return EnsembleScheduling(steps, raw.get("max_inflight_requests", 0))
