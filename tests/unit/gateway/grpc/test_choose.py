"""Which transport is taken, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.gateway.grpc import choose as choose_module
from shoal.gateway.grpc.choose import Choice, EnvoyFiles, choose
from shoal.runtime.service import EnvironmentTrouble

FILES = EnvoyFiles(Path("envoy"), Path("module"), Path("libpython"))


def find(monkeypatch: pytest.MonkeyPatch, found: EnvoyFiles | str) -> None:
    monkeypatch.setattr(choose_module, "find_envoy", lambda: found)


def test_envoy_is_taken_where_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    find(monkeypatch, FILES)
    assert choose("auto") == choose("envoy") == Choice(FILES, None)


def test_grpcio_is_taken_silently_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    find(monkeypatch, FILES)
    assert choose("grpcio") == Choice(None, None)


def test_grpcio_is_taken_with_a_word_where_envoy_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    find(monkeypatch, "no libpython")
    choice = choose("auto")
    assert choice.envoy is None and choice.warning is not None and choice.warning.startswith("no libpython")


def test_envoy_asked_for_where_it_cannot_run_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    find(monkeypatch, "no libpython")
    with pytest.raises(EnvironmentTrouble, match="--grpc-transport=envoy cannot run here: no libpython"):
        choose("envoy")
