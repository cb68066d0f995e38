from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from shoal.core.desired import VersionEntry
from shoal.repository import draft, snapshot
from shoal.repository.agents import Agents
from shoal.repository.examine import Examiner
from shoal.repository.settings import RepositorySettings

IO = (
    'backend: "python" input { name: "A" data_type: TYPE_FP32 dims: 1 }'
    ' output { name: "B" data_type: TYPE_FP32 dims: 1 }'
)
MakeModel = Callable[..., Path]


class Anybody(Agents):
    """A worker with every backend, which is never asked."""

    def __init__(self) -> None:
        pass

    async def choose(self, backend: str, wait_s: float) -> str:
        return "agent-1"


def fail(*_: object) -> VersionEntry:
    raise ValueError("never thought of")


async def test_unforeseen_trouble_with_one_model_is_its_reason(
    make_model: MakeModel, settings: RepositorySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(make_model(None))
    examiner = Examiner(cast(Agents, None), settings)
    monkeypatch.setattr(draft, "make", fail)
    found = await examiner.read("m", directory)
    assert (found.draft, found.entry.reason) == (None, "Internal: ValueError: never thought of")


async def test_unforeseen_trouble_with_one_version_is_its_reason(
    make_model: MakeModel, settings: RepositorySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = draft.make(snapshot.take(str(make_model(IO))), replace(settings, completes=False))
    monkeypatch.setattr(draft, "finish", fail)
    entry = (await Examiner(Anybody(), replace(settings, completes=False)).complete(made)).entry
    assert (entry.failed_versions, entry.reason) == ((1,), "Internal: ValueError: never thought of")
