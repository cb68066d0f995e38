from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway_models import add_sub, entry, instance
from shoal.core.api_keys import ApiKey, Scope
from shoal.core.desired import RepositoryStatus
from shoal.core.errors import ShoalError
from shoal.gateway.access.caller import Caller
from shoal.gateway.models import Models
from shoal.gateway.visible_models import VisibleModels


@pytest.fixture
def visible() -> VisibleModels:
    """What a key for `a*` sees of `addsub` and `secret`."""
    models = Models()
    for name in ("addsub", "secret"):
        models.put_model(entry({**add_sub(), "name": name}, 1))
    models.put_instances("agent", (instance("addsub", 1), instance("secret", 1)))
    models.put_status(RepositoryStatus(1, True, ("addsub", "secret"), ""))
    return VisibleModels(models, Caller(ApiKey("k", b"", frozenset({Scope.READ}), models=("a*",)), now=0.0))


def outcome(ask: Callable[[], object], name: str) -> tuple[object, str]:
    try:
        return ask(), ""
    except ShoalError as error:
        return type(error), error.message.replace(name, "")


def test_what_is_seen_is_there(visible: VisibleModels) -> None:
    assert visible.find("addsub", None) is visible.resolve("addsub", 1)
    assert visible.is_ready("addsub", None) and visible.ready_versions("addsub") == [1]
    assert [row["name"] for row in visible.index(False)] == ["addsub"]
    assert [served.model for served in visible.for_statistics(None, None)] == ["addsub"]


@pytest.mark.parametrize("version", [None, 1, 9])
def test_what_is_hidden_is_answered_as_what_does_not_exist(visible: VisibleModels, version: int | None) -> None:
    def answers(name: str) -> list[tuple[object, str]]:
        return [
            outcome(lambda: visible.find(name, version), name),
            outcome(lambda: visible.resolve(name, version), name),
            outcome(lambda: visible.is_ready(name, version), name),
            outcome(lambda: visible.ready_versions(name), name),
            outcome(lambda: visible.for_statistics(name, version), name),
        ]

    assert answers("secret") == answers("nobody") == answers("addnothing")
