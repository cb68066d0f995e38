from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.core.desired import ENTRY_LIMIT_BYTES, NO_VERSION, VersionEntry, decode_model, encode
from shoal.core.errors import InternalError, InvalidArgument
from shoal.core.readiness import VersionState, version_states
from shoal.repository import draft, entries, snapshot
from shoal.repository.draft import Draft
from shoal.repository.settings import RepositorySettings

MakeModel = Callable[..., Path]

NOBODY: dict[str, dict[int, VersionState]] = {}


@pytest.fixture
def made(make_model: MakeModel, settings: RepositorySettings) -> Draft:
    directory = make_model("version_policy { all { } }", {"1/model.py": "", "2/model.py": ""})
    return draft.make(snapshot.take(str(directory)), settings)


def test_served_versions(made: Draft) -> None:
    version = VersionEntry(made.config, {"B": ["cat"]})
    entry = entries.served(made, {1: version, 2: version})
    assert (entry.model, entry.path, entry.backend) == ("m", made.directory, "python")
    assert entry.generation == made.generation
    assert entry.backend_config == {"threads": "1", "shm": "2"}
    assert entries.is_current(decode_model(encode(entry)), made)
    assert not entries.is_current(entry._replace(generation="other"), made)
    assert not entries.is_current(entry._replace(reason="Internal: x"), made)


def test_an_entry_that_is_too_large_fails(made: Draft) -> None:
    version = VersionEntry(made.config, {"B": ["x" * 100] * 1000})
    entry = entries.served(made, {1: version})
    assert entry.versions == {}
    assert entry.failed_versions == (1,)
    assert entry.reason.startswith("Unsupported: model 'm': configuration and labels take ")


@pytest.mark.parametrize("text", ["x" * 200_000, "\u00e9" * 200_000, "lone \udcff"])
def test_any_reason_fits_into_an_entry(made: Draft, text: str) -> None:
    for entry in (
        entries.failed(made, {1: InternalError(text)}),
        entries.without_versions("m", "/repository/m", InternalError(text)),
    ):
        assert len(encode(entry)) <= ENTRY_LIMIT_BYTES
        assert entry.reason[:14] == f"Internal: {text[:4]}"


def test_failed_versions_bear_the_first_reason(made: Draft) -> None:
    entry = entries.failed(made, {2: InternalError("two"), 1: InvalidArgument("one")})
    assert entry.failed_versions == (1, 2)
    assert {version: tuple(state) for version, state in version_states(entry, {}, NOBODY.get).items()} == {
        1: ("UNAVAILABLE", "Invalid argument: one"),
        2: ("UNAVAILABLE", "Invalid argument: one"),
    }


def test_a_model_without_versions_has_a_reason_only() -> None:
    entry = entries.without_versions("m", "/repository/m", InvalidArgument("odd"))
    assert version_states(entry, {}, NOBODY.get) == {}
    assert entry.reason == "Invalid argument: odd"


def test_duplicates_are_listed_without_a_version() -> None:
    states = version_states(entries.duplicate("m"), {}, NOBODY.get)
    assert {version: tuple(state) for version, state in states.items()} == {
        NO_VERSION: ("UNAVAILABLE", "model appears in two or more repositories")
    }
