from __future__ import annotations

import msgpack
import pytest

from shoal.core.errors import InternalError
from shoal.core.stamped import Stamped, decode, encode, stamped


def test_an_entry_is_read_as_it_was_written() -> None:
    entry = Stamped(b"12345678", b"value")
    assert encode(entry).hex() == "9301c4083132333435363738c40576616c7565"
    assert decode(encode(entry)) == entry


def test_no_two_writings_are_equal() -> None:
    assert encode(stamped(b"value")) != encode(stamped(b"value"))


def test_an_entry_of_another_release_is_refused() -> None:
    with pytest.raises(InternalError, match="schema 2, expected 1"):
        decode(msgpack.packb((2, b"12345678", b"value")))
