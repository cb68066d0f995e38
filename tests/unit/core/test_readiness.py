from __future__ import annotations

from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.messages import LOADING, READY, UNAVAILABLE, UNLOADING, InstanceStatus
from shoal.core.readiness import VersionState, version_states

NO_CONFIG = VersionEntry({}, {})


def entry(*versions: int, failed: tuple[int, ...] = (), reason: str = "") -> ModelEntry:
    return ModelEntry(1, "m", "g", "/m", "python", dict.fromkeys(versions, NO_CONFIG), failed, reason, {})


def instance(state: str, version: int = 1, generation: str = "g", reason: str = "", model: str = "m") -> InstanceStatus:
    return InstanceStatus(model, version, generation, "m_0_0", "e", 0, state, reason)


def state(*workers: list[InstanceStatus]) -> VersionState:
    """Of version 1, with these instances on each worker."""
    return version_states(entry(1), {f"a{number}": found for number, found in enumerate(workers)})[1]


def test_without_any_instance_a_version_is_loading() -> None:
    assert state() == VersionState(LOADING, "")
    assert state([]) == VersionState(LOADING, "")


def test_a_version_is_ready_when_one_worker_has_all_its_instances_ready() -> None:
    assert state([instance(READY), instance(READY)]) == VersionState(READY, "")
    assert state([instance(READY)], [instance(LOADING)]) == VersionState(READY, "")
    assert state([instance(UNAVAILABLE, reason="x")], [instance(READY)]) == VersionState(READY, "")


def test_a_worker_with_an_instance_that_is_loading_is_loading() -> None:
    assert state([instance(READY), instance(LOADING)]) == VersionState(LOADING, "")


def test_a_worker_with_an_instance_that_failed_has_failed_with_its_reason() -> None:
    failed = instance(UNAVAILABLE, reason="Internal: no memory")
    assert state([instance(READY), instance(LOADING), failed]) == VersionState(UNAVAILABLE, "Internal: no memory")


def test_a_worker_that_still_loads_wins_over_one_that_failed() -> None:
    assert state([instance(UNAVAILABLE, reason="x")], [instance(LOADING)]) == VersionState(LOADING, "")


def test_when_all_workers_failed_the_first_reason_is_told() -> None:
    workers = ([instance(UNAVAILABLE, reason="x")], [instance(UNAVAILABLE, reason="y")])
    assert state(*workers) == VersionState(UNAVAILABLE, "x")


def test_an_instance_that_is_unloading_is_shown_as_such() -> None:
    assert state([instance(UNLOADING)]) == VersionState(UNLOADING, "")


def test_instances_of_other_generations_and_models_do_not_count() -> None:
    assert state([instance(READY, generation="old"), instance(READY, model="n")]) == VersionState(LOADING, "")


def test_versions_have_states_of_their_own() -> None:
    found = version_states(entry(1, 2), {"a": [instance(READY), instance(LOADING, version=2)]})
    assert found == {1: VersionState(READY, ""), 2: VersionState(LOADING, "")}


def test_versions_whose_configuration_failed_are_unavailable_with_the_models_reason() -> None:
    found = version_states(entry(failed=(1, 3), reason="Invalid argument: no input"), {})
    assert found == dict.fromkeys((1, 3), VersionState(UNAVAILABLE, "Invalid argument: no input"))
