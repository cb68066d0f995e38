from __future__ import annotations

from collections.abc import Callable

import pytest

from shoal.core.errors import InvalidArgument
from shoal.repository import validate
from shoal.repository.config.json_form import JsonForm
from shoal.repository.config.text import line_of
from shoal.repository.problems import check

Form = Callable[[str], JsonForm]


def parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}\n'


def texts(config: JsonForm) -> list[str]:
    return [problem.text for problem in validate.structure(config, "m")]


def test_sound_parameters_pass(form: Form) -> None:
    text = parameter("shoal.execution_timeout", "2.5") + parameter("shoal.recycle_after_executions", "10")
    assert texts(form(text + parameter("EXECUTION_ENV_PATH", "env.tar.gz"))) == []


def test_an_unsound_value_is_refused_with_its_place(form: Form) -> None:
    text = "max_batch_size: 4\n" + parameter("shoal.execution_timeout", "2 s")
    expected = (
        "parameter 'shoal.execution_timeout' of model 'm' is '2 s', expected a number of seconds greater than 0, "
        r"such as 2.5 \(config.pbtxt:2\)"
    )
    with pytest.raises(InvalidArgument, match=expected):
        check(validate.structure(form(text), "m"), "config.pbtxt", lambda where: line_of(text, where))


def test_sequences_cannot_be_recycled(form: Form) -> None:
    text = "sequence_batching { }\n" + parameter("shoal.recycle_above_resident_bytes", "1000000")
    assert texts(form(text)) == [
        "parameter 'shoal.recycle_above_resident_bytes' of model 'm' cannot be used with sequence_batching; remove one"
    ]
