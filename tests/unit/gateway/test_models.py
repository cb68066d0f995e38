from __future__ import annotations

import pytest

from gateway_models import add_sub, entry, instance
from shoal.core.desired import NO_VERSION, RepositoryStatus
from shoal.core.errors import InvalidArgument, NotFound, Unavailable
from shoal.core.messages import LOADING, UNAVAILABLE, InstanceStatus
from shoal.gateway.models import Models


@pytest.fixture
def models() -> Models:
    """Model `addsub` with versions 1 and 3 ready and 2 loading."""
    models = Models()
    models.put_model(entry(add_sub(), 1, 2, 3))
    models.put_instances("a", (instance("addsub", 1), instance("addsub", 2, LOADING), instance("addsub", 3)))
    return models


def test_no_version_means_the_highest_ready_one(models: Models) -> None:
    assert models.resolve("addsub", None).version == 3


def test_a_version_is_resolved_by_its_number(models: Models) -> None:
    assert models.resolve("addsub", 1).version == 1
    assert models.ready_versions("addsub") == [1, 3]


def test_what_cannot_be_resolved_is_told_in_triton_s_words(models: Models) -> None:
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'nobody' is not found$"):
        models.resolve("nobody", None)
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'addsub' version 8 is not found$"):
        models.resolve("addsub", 8)
    with pytest.raises(Unavailable, match=r"^Request for unknown model: 'addsub' version 2 is not at ready state$"):
        models.resolve("addsub", 2)


def test_a_model_without_a_version_that_is_ready_or_will_be_has_no_available_versions(models: Models) -> None:
    models.put_instances("a", tuple(instance("addsub", number, UNAVAILABLE) for number in (1, 2, 3)))
    with pytest.raises(NotFound, match=r"^Request for unknown model: 'addsub' has no available versions$"):
        models.resolve("addsub", None)


def test_a_model_that_was_not_ready_yet_is_worth_another_try() -> None:
    models = Models()
    models.put_model(entry(add_sub(), 1))
    with pytest.raises(Unavailable, match=r"'addsub' has no available versions; version 1 is being loaded$"):
        models.resolve("addsub", None)


@pytest.mark.parametrize("instances", [(instance("addsub", 1, LOADING), instance("addsub", 3, LOADING)), ()])
def test_what_was_ready_gets_requests_while_it_is_loaded_again_but_is_not_ready(
    models: Models, instances: tuple[InstanceStatus, ...]
) -> None:
    models.put_instances("a", instances)
    assert models.resolve("addsub", None).version == 3
    assert models.resolve("addsub", 1).version == 1
    assert models.find("addsub", 2) is None
    assert not models.is_ready("addsub", None)
    assert not models.is_ready("addsub", 1)


def test_no_version_means_a_ready_one_while_a_higher_one_is_loaded_again(models: Models) -> None:
    models.put_instances("a", (instance("addsub", 1), instance("addsub", 3, LOADING)))
    assert models.resolve("addsub", None).version == 1


def test_what_was_given_up_gets_no_requests_until_it_is_ready_again(models: Models) -> None:
    for state in (UNAVAILABLE, LOADING):
        models.put_instances("a", (instance("addsub", 1, state),))
        with pytest.raises(Unavailable):
            models.resolve("addsub", 1)
    models.put_instances("a", (instance("addsub", 1),))
    assert models.resolve("addsub", 1).version == 1


def test_a_second_agent_keeps_a_version_ready_when_the_first_one_leaves(models: Models) -> None:
    models.put_instances("b", (instance("addsub", 1),))
    models.put_instances("a", ())
    assert models.ready_versions("addsub") == [1]


def test_instances_of_another_generation_do_not_count(models: Models) -> None:
    models.put_model(entry(add_sub(), 1, generation="g2"))
    assert models.find("addsub", None) is None
    models.put_instances("a", (instance("addsub", 1, generation="g2"),))
    found = models.resolve("addsub", None)
    assert found.generation == "g2"


def test_instances_may_be_heard_of_before_their_model() -> None:
    models = Models()
    models.put_instances("a", (instance("addsub", 1),))
    models.put_model(entry(add_sub(), 1))
    assert models.find("addsub", 1) is not None


def test_a_removed_model_is_unknown(models: Models) -> None:
    models.remove_model("addsub")
    assert models.find("addsub", 1) is None
    assert models.index(only_ready=False) == []


def test_the_index_lists_every_version_with_its_reason(models: Models) -> None:
    models.put_model(entry({**add_sub(), "name": "broken"}, failed_versions=(1,), reason="Internal: no backend"))
    models.put_model(entry({**add_sub(), "name": "undecided"}))
    assert models.index(only_ready=False) == [
        {"name": "addsub", "version": "1", "state": "READY"},
        {"name": "addsub", "version": "2", "state": "LOADING"},
        {"name": "addsub", "version": "3", "state": "READY"},
        {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "Internal: no backend"},
        {"name": "undecided"},
    ]


def test_the_index_of_what_is_ready_leaves_out_the_rest(models: Models) -> None:
    assert [row["version"] for row in models.index(only_ready=True)] == ["1", "3"]


def test_all_are_ready_only_after_the_repository_was_examined() -> None:
    models = Models()
    assert not models.all_ready()
    models.put_status(RepositoryStatus(1, True, (), ""))
    assert models.all_ready()


@pytest.mark.parametrize(("state", "reason", "expected"), [(LOADING, "", False), (UNAVAILABLE, "unloaded", True)])
def test_a_version_that_is_not_ready_makes_the_server_unready_unless_it_was_unloaded(
    state: str, reason: str, expected: bool
) -> None:
    models = Models()
    models.put_status(RepositoryStatus(1, True, ("addsub",), ""))
    models.put_model(entry(add_sub(), 1))
    models.put_instances("a", (instance("addsub", 1, state, reason=reason),))
    assert models.all_ready() is expected


@pytest.mark.parametrize("failed_versions", [(), (NO_VERSION,)])
def test_a_model_that_failed_before_it_had_versions_does_not_make_the_server_unready(
    failed_versions: tuple[int, ...],
) -> None:
    models = Models()
    models.put_status(RepositoryStatus(1, True, ("addsub",), ""))
    reason = "Invalid argument: config.pbtxt line 3"
    models.put_model(entry(add_sub(), failed_versions=failed_versions, reason=reason))
    assert models.all_ready()


def test_a_version_that_failed_makes_the_server_unready() -> None:
    models = Models()
    models.put_status(RepositoryStatus(1, True, ("addsub",), ""))
    models.put_model(entry(add_sub(), failed_versions=(1,), reason="Internal: out of paint"))
    assert not models.all_ready()


def test_an_ensemble_is_ready_and_goes_with_its_steps() -> None:
    models = Models()
    scheduling = {"step": [{"model_name": "addsub", "model_version": -1}]}
    models.put_model(entry({**add_sub(), "name": "ensemble", "ensemble_scheduling": scheduling}, 1))
    assert not models.is_ready("ensemble", None)
    models.put_model(entry(add_sub(), 1))
    models.put_instances("a", (instance("addsub", 1),))
    assert models.is_ready("ensemble", None)
    models.put_instances("a", (instance("addsub", 1, LOADING),))
    assert not models.is_ready("ensemble", None)
    assert models.find("ensemble", None) is not None, "requests wait for an instance that is loaded again"
    models.put_instances("a", (instance("addsub", 1, UNAVAILABLE, reason="Internal: x"),))
    assert models.find("ensemble", None) is None
    (row,) = [row for row in models.index(only_ready=False) if row["name"] == "ensemble"]
    assert row["reason"].startswith("Invalid argument: ensemble 'ensemble' depends on 'addsub' which has no loaded")


def test_statistics_are_of_ready_versions_only(models: Models) -> None:
    assert [served.version for served in models.for_statistics(None, None)] == [1, 3]
    assert [served.version for served in models.for_statistics("addsub", None)] == [1, 3]
    assert [served.version for served in models.for_statistics("addsub", 3)] == [3]
    with pytest.raises(InvalidArgument, match=r"^requested model 'nobody' is not available$"):
        models.for_statistics("nobody", None)
    with pytest.raises(InvalidArgument, match=r"^requested model version is not available for model 'addsub'$"):
        models.for_statistics("addsub", 2)


def test_a_model_of_which_no_version_is_left_is_not_listed(models: Models) -> None:
    models.put_model(entry({**add_sub(), "name": "empty"}, reason="Invalid argument: no version"))
    models.put_status(RepositoryStatus(1, True, ("addsub",), ""))
    assert {row["name"] for row in models.index(only_ready=False)} == {"addsub"}


def test_a_model_of_two_repositories_is_listed_without_a_version() -> None:
    models = Models()
    models.put_model(entry({**add_sub(), "name": "twice"}, failed_versions=(NO_VERSION,), reason="twice"))
    assert models.index(only_ready=False) == [{"name": "twice", "state": UNAVAILABLE, "reason": "twice"}]


def test_the_start_is_over_when_nothing_is_loading_any_more_and_stays_over(models: Models) -> None:
    models.put_status(RepositoryStatus(1, True, ("addsub",), ""))
    assert not models.start_is_over
    models.put_instances("a", (instance("addsub", 1), instance("addsub", 2, UNAVAILABLE), instance("addsub", 3)))
    assert models.start_is_over
    models.put_instances("a", (instance("addsub", 1, LOADING),))
    assert models.start_is_over


def test_the_start_is_not_over_and_nothing_is_ready_before_every_entry_has_come() -> None:
    models = Models()
    models.put_status(RepositoryStatus(1, True, ("addsub",), ""))
    assert not models.start_is_over
    assert not models.all_ready()
