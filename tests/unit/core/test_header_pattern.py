from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.core.header_pattern import compile_header_pattern


def finds(pattern: str, name: str) -> bool:
    compiled = compile_header_pattern(pattern)
    assert compiled is not None
    return compiled.search(name) is not None


def test_case_does_not_matter_unless_the_pattern_says_so() -> None:
    assert finds("my_header", "X-MY_HEADER")
    assert not finds("(?-i)my_header", "X-MY_HEADER")
    assert finds("(?-i)MY_HEADER", "X-MY_HEADER")


def test_an_empty_pattern_is_none() -> None:
    assert compile_header_pattern("") is None


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"'\(' is not a regular expression: "):
        compile_header_pattern("(")
