"""The dynamic batcher: Triton's rules for what goes into one batch and when it is sent.

A batch is formed only when an instance is free; so whatever arrives while all are busy can still join. Requests are
never split and never change order inside a priority level.
"""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.model_config import DynamicBatching, ModelConfig
from shoal.scheduler.actions import BatchReason
from shoal.scheduler.draft import Draft
from shoal.scheduler.form import form_of
from shoal.scheduler.model_scheduler import NOTHING, Decision, ModelScheduler
from shoal.scheduler.queued_request import QueuedRequest


class DynamicBatcher(ModelScheduler):
    def __init__(self, config: ModelConfig, batching: DynamicBatching) -> None:
        super().__init__(config, batching)
        self._preferred = frozenset(batching.preferred_batch_sizes or (config.max_batch_size,))
        self._max_preferred = max(self._preferred)
        self._delay_ns = batching.max_queue_delay_us * 1000
        self._form_of = form_of(config)
        #: What the queue's front makes, as long as nothing but its end changed.
        self._draft: Draft | None = None

    def enqueue(self, entry: QueuedRequest, now: int) -> bool:
        if not super().enqueue(entry, now):
            return False
        if self._draft is not None:
            if not self.queue.is_last(entry):
                self._reset()
            elif self._draft.ended is None:
                self._draft.offer(entry)
        return True

    def next_batch(self, now: int) -> Decision:
        draft = self._draft or self._form()
        if not draft.members:
            return NOTHING
        is_late = self._delay_ns != 0 and now - draft.oldest_ns >= self._delay_ns
        if draft.best_count and not is_late:
            return self._send(draft.best_reason, draft.members[: draft.best_count])
        reason = self._reason(draft, is_late)
        if reason is not None:
            return self._send(reason, draft.members)
        self._draft = draft
        return Decision(None, (), draft.oldest_ns + self._delay_ns)

    def executions(self, entries: Iterable[QueuedRequest]) -> int:
        return -(-sum(entry.size for entry in entries) // max(1, self.config.max_batch_size))

    def _reason(self, draft: Draft, is_late: bool) -> BatchReason | None:
        """Why everything in the draft is sent now, None when it may wait for more."""
        if draft.ended is not None:
            return draft.ended
        if draft.size >= (self.config.max_batch_size if is_late else self._max_preferred):
            return "full"
        if is_late:
            return "delay expired"
        if not self._delay_ns:
            return "instance idle"
        deadline_ns = draft.nearest_deadline_ns
        if deadline_ns is not None and deadline_ns <= draft.oldest_ns + self._delay_ns:
            return "deadline"
        return None

    def _send(self, reason: BatchReason, members: list[QueuedRequest]) -> Decision:
        for entry in members:
            self.queue.remove(entry.key)
        self._reset()
        return Decision(reason, tuple(members), None)

    def _form(self) -> Draft:
        draft = Draft(self._preferred, self._max_preferred, self.config.max_batch_size, self._form_of)
        for entry in self.queue:
            if not draft.offer(entry):
                break
        return draft

    def _reset(self) -> None:
        self._draft = None
