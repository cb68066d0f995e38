from __future__ import annotations

from shoal.bus import subjects
from shoal.bus.contents import LOST_GRACE_S, Contents, Entry
from shoal.bus.store import Stored


def test_reads_are_applied_once() -> None:
    contents = Contents()
    one, two = Stored("a", b"1", 1), Stored("b", b"2", 2)
    assert contents.apply([one, two], 0.0) == [one, two]
    assert contents.apply([two], 0.0) == []
    assert contents.applied_revision == 2
    assert dict(contents.items()) == {"a": b"1", "b": b"2"}


def test_own_write_shows_without_hiding_the_writes_before_it() -> None:
    contents = Contents()
    assert contents.apply_own(Stored("mine", b"1", 7)) == [Stored("mine", b"1", 7)]
    assert contents.applied_revision == 0
    other = Stored("other", b"2", 6)
    assert contents.apply([other, Stored("mine", b"1", 7)], 0.0) == [other]


def test_older_write_does_not_undo_a_newer_one() -> None:
    contents = Contents()
    contents.apply_own(Stored("a", b"new", 5))
    assert contents.apply([Stored("a", b"old", 4)], 0.0) == []
    assert contents["a"] == Entry(b"new", 5)


def test_deletion_of_an_unknown_key_is_no_difference_but_its_revision_counts() -> None:
    contents = Contents()
    assert contents.apply([Stored("a", None, 3)], 0.0) == []
    assert contents["a"] == Entry(None, 3)
    assert dict(contents.items()) == {}


def test_loss_keeps_values_with_revision_zero_until_they_are_written_again() -> None:
    contents = Contents()
    contents.apply([Stored("a", b"1", 10), Stored("gone", None, 11)], 0.0)
    contents.lose()
    assert contents["a"] == Entry(b"1", 0)
    assert contents["gone"] == Entry(None, 0)
    assert contents.applied_revision == 0
    assert contents.apply([Stored("a", b"1", 1)], 0.0) == [Stored("a", b"1", 1)]


def test_keys_not_written_again_expire_only_after_others_were() -> None:
    contents = Contents()
    contents.apply([Stored("a", b"1", 10), Stored("b", b"2", 11)], 0.0)
    contents.lose()
    assert contents.expire(1000.0) == []
    contents.apply([Stored("b", b"2", 1)], 1000.0)
    assert contents.expire(1000.0 + LOST_GRACE_S - 1) == []
    assert contents.expire(1000.0 + LOST_GRACE_S) == [Stored("a", None, 0)]
    assert dict(contents.items()) == {"b": b"2"}


def test_hint_is_recognised_by_its_value() -> None:
    contents = Contents()
    long_name = "x" * 300
    contents.apply([Stored("a.b", b"1", 1), Stored(long_name, b"2", 2), Stored("d", None, 3)], 0.0)
    assert contents.shows(subjects.escape("a.b"), b"1")
    assert not contents.shows(subjects.escape("a.b"), b"other")
    assert not contents.shows("unknown", b"1")
    assert contents.shows(subjects.escape(long_name), b"2")
    assert contents.shows("d", None)


def test_value_kept_over_a_loss_does_not_answer_a_hint() -> None:
    contents = Contents()
    contents.apply([Stored("a", b"1", 1)], 0.0)
    contents.lose()
    assert not contents.shows("a", b"1")
