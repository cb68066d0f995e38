from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shoal.core.errors import InternalError
from shoal.gateway.http.json_access import (
    array_member,
    as_bool,
    as_text,
    as_unsigned,
    has_member,
    printable,
    text_member,
)


def test_members_are_found() -> None:
    document = {"name": "x", "shape": [1]}
    assert text_member(document, "name") == "x"
    assert array_member(document, "shape") == [1]
    assert has_member(document, "name")


@pytest.mark.parametrize("document", [{}, [], 5, None, "name"])
def test_a_document_that_is_no_object_has_no_members(document: Any) -> None:
    assert not has_member(document, "name")
    with pytest.raises(InternalError) as caught:
        text_member(document, "name")
    assert caught.value.message == ("Unable to parse 'name': attempt to access non-existing object member 'name'")


@pytest.mark.parametrize(
    ("read", "value", "mismatch"),
    [
        (as_text, 5, "non-string as string"),
        (as_bool, 1, "non-boolean as boolean"),
        (as_unsigned, -1, "non-unsigned-integer as unsigned-integer"),
        (as_unsigned, 1.0, "non-unsigned-integer as unsigned-integer"),
        (as_unsigned, True, "non-unsigned-integer as unsigned-integer"),
        (as_unsigned, 2**64, "non-unsigned-integer as unsigned-integer"),
    ],
)
def test_a_value_of_another_type_is_refused(read: Callable[[Any, str], Any], value: Any, mismatch: str) -> None:
    with pytest.raises(InternalError) as caught:
        read(value, "key")
    assert caught.value.message == f"Unable to parse 'key': attempt to access JSON {mismatch}"


def test_a_member_that_should_be_an_array() -> None:
    with pytest.raises(InternalError, match=r"^Unable to parse 'shape': attempt to access JSON non-array as array$"):
        array_member({"shape": None}, "shape")


def test_a_text_ends_at_its_first_nul() -> None:
    assert as_text("LEFT\0X", "name") == "LEFT"


def test_a_text_that_was_not_utf8_becomes_printable() -> None:
    assert printable(b"a\xff".decode("utf-8", "surrogateescape")) == "a\N{REPLACEMENT CHARACTER}"
