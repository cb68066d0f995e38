from __future__ import annotations

from typing import Any

from idle_backend import IdleBackend
from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.process_policy import ProcessPolicy
from shoal.workers.agent.instances import PlannedInstance, planned_instances
from shoal.workers.agent.inventory import BackendInfo
from shoal.workers.backend import InstanceSpec


class Twice(IdleBackend):
    """Two instances on the CPU unless told otherwise."""

    default_cpu_count = 2


INFO = BackendInfo("twice", "x:Twice", Twice)


def plan(*groups: dict[str, Any], versions: tuple[int, ...] = (1,)) -> list[PlannedInstance]:
    config = {"name": "m", "instance_group": list(groups)}
    entry = ModelEntry(1, "m", "g", "/m", "twice", {v: VersionEntry(config, {}) for v in versions}, (), "", {})
    return planned_instances(entry, INFO)


def names(*groups: dict[str, Any]) -> list[str]:
    return [instance.key.name for instance in plan(*groups)]


def test_a_group_gives_as_many_instances_as_it_says() -> None:
    assert names({"name": "g", "kind": "KIND_CPU", "count": 3}) == ["g_0", "g_1", "g_2"]


def test_a_model_without_groups_has_the_backends_number_under_its_own_name() -> None:
    assert names() == ["m_0", "m_1"]


def test_a_group_without_a_name_is_numbered() -> None:
    assert names({"kind": "KIND_CPU", "count": 1}, {"kind": "KIND_CPU", "count": 1}) == ["m_0_0", "m_1_0"]


def test_a_count_of_zero_is_the_backends_on_the_cpu_and_one_elsewhere() -> None:
    assert names({"name": "c", "kind": "KIND_CPU", "count": 0}) == ["c_0", "c_1"]
    assert names({"name": "m", "kind": "KIND_MODEL", "count": 0}) == ["m_0"]


def test_automatic_kind_is_the_cpu() -> None:
    assert plan({"name": "g", "kind": "KIND_AUTO", "count": 1})[0].spec == InstanceSpec("g_0", "CPU", 0)


def test_a_gpu_group_is_refused_with_a_reason() -> None:
    (instance,) = plan({"name": "g", "kind": "KIND_GPU", "count": 1})
    expected = "Invalid argument: instance group g of model m has kind KIND_GPU but no GPUs are available"
    assert instance.reason == expected


def test_every_version_has_instances_of_its_own() -> None:
    found = plan({"name": "g", "kind": "KIND_CPU", "count": 1}, versions=(2, 1))
    assert [instance.key.version for instance in found] == [1, 2]


def with_parameters(backend: type[IdleBackend], **parameters: str) -> PlannedInstance:
    values = {f"shoal.{name}": {"string_value": value} for name, value in parameters.items()}
    config = {"name": "m", "instance_group": [{"name": "g", "kind": "KIND_CPU", "count": 1}], "parameters": values}
    entry = ModelEntry(1, "m", "g", "/m", "b", {1: VersionEntry(config, {})}, (), "", {})
    return planned_instances(entry, BackendInfo("b", "x:Y", backend))[0]


class Alone(IdleBackend):
    """A process for each instance."""

    process_per_instance = True


def test_an_instance_has_the_policy_of_its_models_parameters() -> None:
    instance = with_parameters(Alone, execution_timeout="2.5", recycle_after_executions="7")
    assert (instance.policy, instance.reason) == (ProcessPolicy(2.5, 7, None), "")


def test_recycling_is_refused_where_instances_share_a_process() -> None:
    assert with_parameters(Twice, recycle_after_executions="7").reason == (
        "Invalid argument: parameter 'shoal.recycle_after_executions' of model 'm' needs a process for each instance, "
        "but all instances of backend 'b' share one; remove the parameter"
    )


def test_an_unsound_parameter_is_a_reason_not_to_load() -> None:
    assert "expected a number of seconds" in with_parameters(Alone, execution_timeout="soon").reason
