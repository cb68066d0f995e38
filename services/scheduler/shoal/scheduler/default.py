"""The default scheduler, for models without a scheduling choice: every request is a batch of its own, in order of
arrival, on any instance that is free."""

from __future__ import annotations

from collections.abc import Iterable

from shoal.core.model_config import DynamicBatching, ModelConfig
from shoal.scheduler.model_scheduler import NOTHING, Decision, ModelScheduler
from shoal.scheduler.queued_request import QueuedRequest

#: No levels, no limits, no timeouts.
_PLAIN = DynamicBatching()


class DefaultScheduler(ModelScheduler):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, _PLAIN)

    def next_batch(self, now: int) -> Decision:
        for entry in self.queue:
            self.queue.remove(entry.key)
            return Decision("instance idle", (entry,), None)
        return NOTHING

    def executions(self, entries: Iterable[QueuedRequest]) -> int:
        return sum(1 for _ in entries)
