"""What a view holds of a bucket. Pure: reads go in, differences come out; `now` is any monotonic clock in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from shoal.bus import subjects
from shoal.bus.store import Stored

#: After a loss, keys that nobody has written again are given up this long after the first one that somebody has.
LOST_GRACE_S = 30.0


class Entry(NamedTuple):
    """`value` is None for a deleted key; `revision` 0 for one that is not in the store (any more)."""

    value: bytes | None
    revision: int


_ABSENT = Entry(None, 0)


class Contents:
    """Entries by key. `apply`, `apply_own`, `lose` and `expire` are the doors of change; each but `lose` returns the
    differences that it made, in order, as what is stored now (revision 0: no longer in the store)."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._unconfirmed: set[str] = set()
        self._rewritten_at: float | None = None
        #: Every write up to this revision has been applied.
        self.applied_revision = 0

    def __getitem__(self, key: str) -> Entry:
        """The key's entry; an absent key's is `(None, 0)`."""
        return self._entries.get(key, _ABSENT)

    def items(self) -> Iterator[tuple[str, bytes]]:
        return iter([(key, entry.value) for key, entry in self._entries.items() if entry.value is not None])

    def apply(self, stored: Iterable[Stored], now: float) -> list[Stored]:
        """Take in a read of everything after `applied_revision`, oldest first."""
        changes: list[Stored] = []
        for entry in stored:
            self.applied_revision = max(self.applied_revision, entry.revision)
            if self._rewritten_at is None:
                self._rewritten_at = now
            changes += self.apply_own(entry)
        return changes

    def apply_own(self, stored: Stored) -> list[Stored]:
        """Take in one write that was confirmed to us; writes of others before it may still be unknown."""
        key, value, revision = stored
        known = self._entries.get(key)
        if known is not None and known.revision >= revision:
            return []
        self._unconfirmed.discard(key)
        self._entries[key] = Entry(value, revision)
        if known is None and value is None:
            return []
        return [stored]

    def lose(self) -> None:
        """The bucket was lost and made anew: everything stays, but none of it is in the store."""
        self.applied_revision = 0
        self._rewritten_at = None
        self._entries = {key: Entry(entry.value, 0) for key, entry in self._entries.items() if entry.value is not None}
        self._unconfirmed = set(self._entries)

    def expire(self, now: float) -> list[Stored]:
        """Give up what nobody has written again since the loss, once its grace is over."""
        if not self._unconfirmed or self._rewritten_at is None or now - self._rewritten_at < LOST_GRACE_S:
            return []
        gone = [Stored(key, None, 0) for key in sorted(self._unconfirmed)]
        for key in self._unconfirmed:
            del self._entries[key]
        self._unconfirmed.clear()
        return gone

    def shows(self, token: str, value: bytes | None) -> bool:
        """Whether the key with this escaped name has this value (None: is deleted) here already."""
        if subjects.is_digest(token):
            return any(entry.value == value for key, entry in self._entries.items() if subjects.escape(key) == token)
        entry = self._entries.get(subjects.unescape(token))
        return entry is not None and entry.revision > 0 and entry.value == value
