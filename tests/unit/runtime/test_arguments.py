from __future__ import annotations

from argparse import ArgumentTypeError

import pytest

from shoal.runtime.arguments import boolean, positive


@pytest.mark.parametrize(("text", "value"), [("true", True), ("ON", True), ("1", True), ("False", False), ("0", False)])
def test_booleans_are_spelled_as_tritonserver_spells_them(text: str, value: bool) -> None:
    assert boolean(text) is value


@pytest.mark.parametrize("text", ["maybe", "", "yes", "2"])
def test_another_boolean_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match=f"invalid value for bool option: {text}"):
        boolean(text)


def test_a_count_is_one_or_more() -> None:
    assert positive("1") == 1


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "four", ""])
def test_another_count_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="expected an integer of 1 or more"):
        positive(text)
