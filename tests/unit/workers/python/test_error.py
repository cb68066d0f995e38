from __future__ import annotations

import pytest

from shoal.core.errors import Code
from shoal.workers.python.error import TritonError, TritonModelException, not_available


def test_an_error_is_internal_unless_told_otherwise() -> None:
    error = TritonError("text")
    assert (error.message(), str(error), error.code()) == ("text", "text", Code.INTERNAL)


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_its_name_on_the_class(code: Code) -> None:
    assert TritonError("text", getattr(TritonError, code.name)).code() is code


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(ValueError, match="99"):
        TritonError("text", 99)


def test_an_exception_gives_its_message() -> None:
    assert TritonModelException("text").message() == "text"


def test_what_is_not_available_says_so_and_what_to_do() -> None:
    assert str(not_available("this", "do that")) == "this is not available in this release of Shoal; do that"
