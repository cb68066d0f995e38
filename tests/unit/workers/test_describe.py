from __future__ import annotations

import json
from typing import Any

import pytest

from idle_backend import IdleBackend
from shoal.core.errors import Code, InvalidArgument
from shoal.workers import describe
from shoal.workers.backend import ModelSource
from shoal.workers.describe import Description, Question, decode_description, decode_question, encode

QUESTION = Question("m", 2, "/models/m", {"name": "m", "parameters": {"p": {"string_value": "v"}}}, {"key": "value"})


class Describing(IdleBackend):
    """Completes with the model's version, unless the model is to raise."""

    raises: BaseException | None = None

    @classmethod
    def signature(cls, source: ModelSource) -> dict[str, Any]:
        if cls.raises:
            raise cls.raises
        return dict(source.config.raw) | {"max_batch_size": source.version}


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Describing, "raises", None)
    monkeypatch.setattr(describe, "load_backend", lambda _: Describing)


def test_questions_and_descriptions_arrive_as_they_were_sent() -> None:
    assert decode_question(encode(QUESTION)) == QUESTION
    for description in (Description("{}", None), Description("", (3, "no"))):
        assert decode_description(encode(description)) == description


def test_the_description_is_the_completed_configuration() -> None:
    found = describe.describe("x:Describing", QUESTION)
    assert (json.loads(found.config), found.error) == ({**QUESTION.config, "max_batch_size": 2}, None)


def test_a_refusal_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Describing, "raises", InvalidArgument("does not fit"))
    assert describe.describe("x:Describing", QUESTION) == Description("", (Code.INVALID_ARG, "does not fit"))


@pytest.mark.parametrize("raised", [ValueError("boom"), SystemExit("boom"), GeneratorExit("boom")])
def test_anything_else_is_internal(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> None:
    monkeypatch.setattr(Describing, "raises", raised)
    expected = (Code.INTERNAL, f"{type(raised).__name__}: boom")
    assert describe.describe("x:Describing", QUESTION) == Description("", expected)
