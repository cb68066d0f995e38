from __future__ import annotations

import pytest

from shoal.core.errors import Code, InternalError, InvalidArgument
from shoal.workers.error_text import LIMIT_BYTES, wire_error


def test_a_plain_error_travels_as_it_is() -> None:
    assert wire_error(InvalidArgument("no")) == (Code.INVALID_ARG, "no")


def test_what_is_no_text_is_shown_escaped() -> None:
    assert wire_error(InternalError("file \udcff")) == (Code.INTERNAL, "file \\udcff")


@pytest.mark.parametrize("character", ["x", "\u00e9", "\U0001f600"])
def test_a_long_text_is_cut(character: str) -> None:
    _, text = wire_error(InternalError(character * (LIMIT_BYTES + 1)))
    assert text.startswith(character * 100)
    assert text.endswith("[...]")
    assert len(text.encode()) < LIMIT_BYTES + 10
