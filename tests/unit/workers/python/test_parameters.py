from __future__ import annotations

import json
from typing import Any

import pytest

from shoal.workers.python.error import TritonModelException
from shoal.workers.python.parameters import checked, to_json


def test_parameters_are_copied() -> None:
    given: dict[str, bool | int | float | str] = {"a": 1, "b": "text", "c": True}
    kept = checked(given)
    given["a"] = 2
    assert kept == {"a": 1, "b": "text", "c": True}


def test_none_means_no_parameters() -> None:
    assert checked(None) == {}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"a": 1.5}, "Expect parameters values to have type bool/int/str, found type <class 'float'> for key 'a'"),
        ({"a": None}, "Expect parameters values to have type bool/int/str, found type <class 'NoneType'>"),
        ({1: "a"}, "Expect parameters keys to have type str, found type <class 'int'>"),
        (["a"], "Expect parameters to be a dict, found type <class 'list'>"),
    ],
)
def test_other_types_are_refused(given: Any, text: str) -> None:
    with pytest.raises(TritonModelException, match=text):
        checked(given)


def test_json_keeps_kinds_apart_and_is_empty_without_parameters() -> None:
    assert json.loads(to_json({"a": 1, "b": True, "c": 1.5, "d": "x"})) == {"a": 1, "b": True, "c": 1.5, "d": "x"}
    assert to_json({}) == ""
