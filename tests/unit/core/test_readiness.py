from __future__ import annotations

from shoal.core.desired import ModelEntry, VersionEntry
from shoal.core.messages import LOADING, READY, UNAVAILABLE, UNLOADING, InstanceStatus
from shoal.core.readiness import VersionState, all_version_states, composing_models, version_states

NO_CONFIG = VersionEntry({}, {})
NOBODY: dict[str, dict[int, VersionState]] = {}


def entry(*versions: int, failed: tuple[int, ...] = (), reason: str = "") -> ModelEntry:
    return ModelEntry(1, "m", "g", "/m", "python", dict.fromkeys(versions, NO_CONFIG), failed, reason, {})


def instance(state: str, version: int = 1, generation: str = "g", reason: str = "", model: str = "m") -> InstanceStatus:
    return InstanceStatus(model, version, generation, "m_0_0", "e", 0, state, reason)


def state(*workers: list[InstanceStatus]) -> VersionState:
    """Of version 1, with these instances on each worker."""
    return version_states(entry(1), {f"a{number}": found for number, found in enumerate(workers)}, NOBODY.get)[1]


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
    found = version_states(entry(1, 2), {"a": [instance(READY), instance(LOADING, version=2)]}, NOBODY.get)
    assert found == {1: VersionState(READY, ""), 2: VersionState(LOADING, "")}


def test_versions_whose_configuration_failed_are_unavailable_with_the_models_reason() -> None:
    found = version_states(entry(failed=(1, 3), reason="Invalid argument: no input"), {}, NOBODY.get)
    assert found == dict.fromkeys((1, 3), VersionState(UNAVAILABLE, "Invalid argument: no input"))


def ensemble(*steps: tuple[str, int], name: str = "e") -> ModelEntry:
    scheduling = {"step": [{"model_name": model, "model_version": version} for model, version in steps]}
    config = VersionEntry({"name": name, "ensemble_scheduling": scheduling}, {})
    return ModelEntry(1, name, "g", f"/{name}", "", {1: config}, (), "", {})


def state_of_ensemble(entry: ModelEntry, **models: dict[int, VersionState]) -> VersionState:
    return version_states(entry, {}, models.get)[1]


READY_STATE, LOADING_STATE = VersionState(READY, ""), VersionState(LOADING, "")


def test_an_ensemble_is_ready_when_all_its_steps_are() -> None:
    two = ensemble(("a", -1), ("b", 2))
    assert state_of_ensemble(two, a={1: READY_STATE}, b={2: READY_STATE}) == READY_STATE
    assert state_of_ensemble(two, a={1: READY_STATE}, b={2: LOADING_STATE}) == LOADING_STATE
    assert state_of_ensemble(two, a={1: READY_STATE}, b={}) == LOADING_STATE
    assert state_of_ensemble(two, a={1: READY_STATE}) == LOADING_STATE


def test_any_version_of_a_step_will_do_when_none_is_named() -> None:
    failed = VersionState(UNAVAILABLE, "Internal: x")
    assert state_of_ensemble(ensemble(("a", -1)), a={1: READY_STATE, 2: failed}) == READY_STATE


def test_an_ensemble_is_unavailable_with_a_step_that_is() -> None:
    """lifecycle.md 10: the texts of ensemble dependencies."""
    failed = {3: VersionState(UNAVAILABLE, "Internal: x")}
    assert state_of_ensemble(ensemble(("a", -1)), a=failed) == VersionState(
        UNAVAILABLE,
        "Invalid argument: ensemble 'e' depends on 'a' which has no loaded version. Model 'a' loading failed with "
        "error: Internal: x",
    )
    assert state_of_ensemble(ensemble(("a", 2)), a=failed) == VersionState(
        UNAVAILABLE, "Invalid argument: ensemble 'e' depends on 'a' whose required version 2 is not loaded."
    )


def test_nested_ensembles_depend_on_the_instances_of_the_innermost_models() -> None:
    entries = {"outer": ensemble(("e", -1), name="outer"), "e": ensemble(("m", -1)), "m": entry(1)}
    found = all_version_states(entries, {"a": [instance(READY)]})
    assert found == {name: {1: READY_STATE} for name in entries}
    assert all_version_states(entries, {})["outer"] == {1: LOADING_STATE}


def test_what_an_ensemble_is_composed_of() -> None:
    assert composing_models(ensemble(("a", -1), ("b", 2), ("a", 1))) == {"a", "b"}
    assert composing_models(entry(1)) == frozenset()
