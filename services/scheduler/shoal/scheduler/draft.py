"""A batch in the making: Triton's pending batch, formed by walking the queue in its order."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable

from shoal.scheduler.actions import BatchReason
from shoal.scheduler.queued_request import BATCH_LIMIT_NBYTES, QueuedRequest


class Draft:
    """Requests offered in queue order, until one does not fit. `offer` is the only door of change.

    `ended` says why nothing more may follow, None while the queue's next request may. `best_count` is the length of
    the prefix that has the preferred size to be sent, 0 while none was reached, and `best_reason` its reason.
    """

    __slots__ = (
        "_form",
        "_form_of",
        "_max_batch_size",
        "_max_preferred",
        "_preferred",
        "best_count",
        "best_reason",
        "ended",
        "members",
        "nbytes",
        "nearest_deadline_ns",
        "oldest_ns",
        "size",
    )

    def __init__(
        self,
        preferred: Container[int],
        max_preferred: int,
        max_batch_size: int,
        form_of: Callable[[QueuedRequest], Hashable] | None,
    ) -> None:
        """`form_of` gives what all members must have in common, None when nothing is compared."""
        self._preferred = preferred
        self._max_preferred = max_preferred
        self._max_batch_size = max_batch_size
        self._form_of = form_of
        self._form: Hashable = None
        self.members: list[QueuedRequest] = []
        self.size = 0
        self.nbytes = 0
        self.oldest_ns = 0
        self.nearest_deadline_ns: int | None = None
        self.best_count = 0
        self.best_reason: BatchReason = "preferred size"
        self.ended: BatchReason | None = None

    def offer(self, entry: QueuedRequest) -> bool:
        """Add the queue's next request; False, and `ended` is set, when it cannot go with the others."""
        if self.members:
            self.ended = self._obstacle(entry)
            if self.ended is not None:
                return False
        else:
            self._form = self._form_of(entry) if self._form_of else None
            self.oldest_ns = entry.arrived_ns
        self._add(entry)
        return True

    def _obstacle(self, entry: QueuedRequest) -> BatchReason | None:
        size = self.size + entry.size
        if size > self._max_preferred and not self.best_count:
            self.best_count, self.best_reason = len(self.members), "full"
        if size > self._max_batch_size or self.nbytes + entry.nbytes > BATCH_LIMIT_NBYTES:
            return "full"
        if self._form_of is not None and self._form_of(entry) != self._form:
            return "shape change"
        return None

    def _add(self, entry: QueuedRequest) -> None:
        self.members.append(entry)
        self.size += entry.size
        self.nbytes += entry.nbytes
        self.oldest_ns = min(self.oldest_ns, entry.arrived_ns)
        deadline_ns = entry.deadline_ns
        if deadline_ns is not None:
            nearest_ns = self.nearest_deadline_ns
            self.nearest_deadline_ns = deadline_ns if nearest_ns is None else min(nearest_ns, deadline_ns)
        if self.size in self._preferred:
            self.best_count = len(self.members)
            self.best_reason = "full" if self.size >= self._max_batch_size else "preferred size"
