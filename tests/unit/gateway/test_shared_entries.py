from __future__ import annotations

from shoal.core.stamped import Stamped, stamped
from shoal.gateway.shared_entries import REMEMBERED_COUNT, REMEMBERED_S, SharedEntries


def test_the_last_write_counts() -> None:
    entries = SharedEntries()
    assert entries.take("key", stamped(b"1"), 0.0) == "news"
    later = stamped(b"2")
    assert entries.take("key", later, 0.0) == "news"
    assert entries["key"] == later
    assert list(entries.keys()) == ["key"]


def test_what_is_known_already_is_no_news() -> None:
    entries, entry = SharedEntries(), stamped(b"1")
    entries.take("key", entry, 0.0)
    assert entries.take("key", Stamped(*entry), 1.0) == "known"
    assert entries.drop("other", 1.0) == "known"


def test_an_equal_value_written_once_more_is_news() -> None:
    entries = SharedEntries()
    entries.take("key", stamped(b"1"), 0.0)
    assert entries.take("key", stamped(b"1"), 0.0) == "news"


def test_a_replaced_writing_that_comes_back_is_old() -> None:
    entries, first, second = SharedEntries(), stamped(b"1"), stamped(b"2")
    entries.take("key", first, 0.0)
    entries.take("key", second, 1.0)
    assert entries.take("key", first, 2.0) == "old"
    assert entries["key"] == second


def test_a_deleted_writing_that_comes_back_is_old_and_a_new_one_is_not() -> None:
    entries, first = SharedEntries(), stamped(b"1")
    entries.take("key", first, 0.0)
    assert entries.drop("key", 1.0) == "news"
    assert entries.take("key", first, 2.0) == "old"
    assert entries["key"] is None
    assert entries.take("key", stamped(b"1"), 3.0) == "news"


def test_a_replaced_writing_is_forgotten_after_a_while() -> None:
    entries, first = SharedEntries(), stamped(b"1")
    entries.take("key", first, 0.0)
    entries.drop("key", 1.0)
    assert entries.take("key", first, 1.0 + REMEMBERED_S) == "news"


def test_only_so_many_replaced_writings_are_remembered() -> None:
    entries, first = SharedEntries(), stamped(b"1")
    entries.take("key", first, 0.0)
    for _ in range(REMEMBERED_COUNT + 1):
        entries.take("key", stamped(b"2"), 0.0)
    assert entries.take("key", first, 0.0) == "news"
