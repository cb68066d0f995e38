from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.gateway.http.json_grammar import JsonFault, find_fault

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda children: st.lists(children) | st.dictionaries(st.text(st.characters(codec="utf-8")), children),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "reason", "offset"),
    [
        (b"", "The document is empty.", 0),
        (b" \n", "The document is empty.", 2),
        (b"/* c */ {}", "Invalid value.", 0),
        (b"\xff\xfe{", "Invalid value.", 0),
        (b"{", "Missing a name for object member.", 1),
        (b"{'a':1}", "Missing a name for object member.", 1),
        (b'{"a":1,}', "Missing a name for object member.", 7),
        (b'{"a" 1}', "Missing a colon after a name of object member.", 5),
        (b'{"a":1 "b":2}', "Missing a comma or } after an object member.", 7),
        (b"[1 2]", "Missing a comma or ] after an array element.", 3),
        (b"[1,]", "Invalid value.", 3),
        (b"{} {}", "The document root must not be followed by other values.", 3),
        (b"[tru]", "Invalid value.", 4),
        (b"[-]", "Invalid value.", 2),
        (b"[01]", "Missing a comma or ] after an array element.", 2),
        (b"[1.]", "Miss fraction part in number.", 3),
        (b"[1e]", "Miss exponent in number.", 3),
        (b"[ 1e999]", "Number too big to be stored in double.", 2),
        (b'["a', "Missing a closing quotation mark in string.", 3),
        (b'["a\nb"]', "Invalid encoding in string.", 3),
        (b'["a\\x"]', "Invalid escape character in string.", 3),
        (b'["\\u12g4"]', "Incorrect hex digit after \\u escape in string.", 2),
        (b'["\\ud83d"]', "The surrogate pair in string is invalid.", 2),
        (b'["\\ud83d\\u0041"]', "The surrogate pair in string is invalid.", 2),
        (b'["\\ude00"]', "The surrogate pair in string is invalid.", 2),
    ],
)
def test_faults_are_told_with_reason_and_offset(text: bytes, reason: str, offset: int) -> None:
    assert find_fault(text) == JsonFault(reason, offset)


@pytest.mark.parametrize(
    "text", [b"[NaN, Inf, -Infinity]", b'"\xff\xfe"', b'"\\ud83d\\ude00"', b"5", b"{}", b"[[],{}]"]
)
def test_what_triton_takes_has_no_fault(text: bytes) -> None:
    assert find_fault(text) is None


def test_nesting_is_followed_to_any_depth() -> None:
    assert find_fault(b"[" * 100_000 + b"]" * 100_000) is None


@given(JSON_VALUES)
def test_json_has_no_fault(value: object) -> None:
    assert find_fault(json.dumps(value).encode()) is None


@given(JSON_VALUES.filter(lambda value: isinstance(value, (list, dict))))
def test_json_that_is_cut_off_has_one(value: object) -> None:
    assert find_fault(json.dumps(value).encode()[:-1]) is not None
