"""Fills in what Triton fills in: the configuration that is served always says everything.

Normalising twice changes nothing, so a configuration that a backend completed is simply normalised again.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from shoal.repository import platforms
from shoal.repository.config.json_form import JsonForm

#: Triton's time without a request after which a sequence is given up, when the configuration gives none.
SEQUENCE_IDLE_US = 1_000_000


def normalize(config: JsonForm, gpus: Sequence[int] = ()) -> JsonForm:
    """A copy of a complete JSON form with Triton's defaults. `gpus` are the GPUs that models can use."""
    config = deepcopy(config)
    if not config.get("version_policy"):
        config["version_policy"] = {"latest": {"num_versions": 1}}
    _schedulers(config)
    if "ensemble_scheduling" not in config and config["platform"] != platforms.ENSEMBLE:
        _pinned_memory(config.setdefault("optimization", _optimization()))
        _instance_groups(config, gpus)
    return config


def _schedulers(config: JsonForm) -> None:
    if "dynamic_batching" in config:
        _preferred_size(config["dynamic_batching"], config["max_batch_size"])
    sequence = config.get("sequence_batching")
    if sequence is None:
        return
    if sequence["max_sequence_idle_microseconds"] == 0:
        sequence["max_sequence_idle_microseconds"] = SEQUENCE_IDLE_US
    if "oldest" in sequence:
        _preferred_size(sequence["oldest"], config["max_batch_size"])
    elif "direct" not in sequence:
        sequence["direct"] = {"max_queue_delay_microseconds": 0, "minimum_slot_utilization": 0.0}


def _preferred_size(batching: dict[str, Any], max_batch_size: int) -> None:
    if not batching["preferred_batch_size"] and max_batch_size > 0:
        batching["preferred_batch_size"] = [max_batch_size]


def _optimization() -> dict[str, Any]:
    return {"priority": "PRIORITY_DEFAULT", "gather_kernel_buffer_threshold": 0, "eager_batching": False}


def _pinned_memory(optimization: dict[str, Any]) -> None:
    for field in ("input_pinned_memory", "output_pinned_memory"):
        optimization.setdefault(field, {"enable": True})


def _instance_groups(config: JsonForm, gpus: Sequence[int]) -> None:
    groups = config["instance_group"]
    if not groups:
        # The group that nobody asked for bears the model's name, the others get a number.
        groups.append(_instance_group(config["name"]))
    for number, group in enumerate(groups):
        group["name"] = group["name"] or f"{config['name']}_{number}"
        _device(group, gpus)
        if group["count"] < 1:
            on_cpu = group["kind"] == "KIND_CPU"
            group["count"] = platforms.DEFAULT_CPU_COUNT.get(config["backend"], 1) if on_cpu else 1


def _instance_group(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "KIND_AUTO",
        "count": 0,
        "gpus": [],
        "secondary_devices": [],
        "profile": [],
        "passive": False,
        "host_policy": "",
    }


def _device(group: dict[str, Any], gpus: Sequence[int]) -> None:
    if group["kind"] == "KIND_AUTO":
        usable = bool(gpus) and set(group["gpus"]) <= set(gpus)
        group["kind"] = "KIND_GPU" if usable else "KIND_CPU"
        if not usable:
            group["gpus"] = []
    if group["kind"] == "KIND_GPU" and not group["gpus"]:
        group["gpus"] = list(gpus)
