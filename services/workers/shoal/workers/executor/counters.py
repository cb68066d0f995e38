"""Counts of executions, per generation of a model version: cumulative over the life of this process."""

from __future__ import annotations

from typing import NamedTuple

from shoal.core.messages import ModelCounters
from shoal.workers.executor.execution import Computed

#: A change is told in the heartbeats of this long, so that one that was lost does no harm.
RECENT_S = 2.0


class CountedModel(NamedTuple):
    model: str
    version: int
    generation: str


class _Counts:
    def __init__(self) -> None:
        self.inference_count = 0
        self.execution_count = 0
        self.last_inference_ms = 0
        self.changed_at = 0.0
        #: By batch size: executions, then nanoseconds of the three stages.
        self.batches: dict[int, tuple[int, int, int, int]] = {}
        self.reasons: dict[str, int] = {}


class ExecutionCounters:
    """Counts of one process; used by the loop's thread alone. `executed` is the only door of change."""

    def __init__(self) -> None:
        self._counts: dict[CountedModel, _Counts] = {}

    def executed(self, model: CountedModel, computed: Computed, reason: str, now: float, unix_ms: int) -> None:
        """Count one execution; `reason` says why its batch was sent, `now` is seconds of a monotonic clock."""
        counts = self._counts.get(model)
        if counts is None:
            counts = self._counts[model] = _Counts()
        counts.inference_count += computed.inferences
        counts.execution_count += 1
        counts.last_inference_ms = unix_ms
        counts.changed_at = now
        counts.reasons[reason] = counts.reasons.get(reason, 0) + 1
        count, input_ns, infer_ns, output_ns = counts.batches.get(computed.batch_size, (0, 0, 0, 0))
        counts.batches[computed.batch_size] = (
            count + 1,
            input_ns + computed.input_ns,
            infer_ns + computed.infer_ns,
            output_ns + computed.output_ns,
        )

    def rows(self) -> tuple[ModelCounters, ...]:
        """Everything counted so far."""
        return tuple(_row(model, counts) for model, counts in self._counts.items())

    def recent(self, now: float) -> tuple[ModelCounters, ...]:
        """The rows that changed within the last two seconds."""
        return tuple(_row(m, counts) for m, counts in self._counts.items() if now - counts.changed_at <= RECENT_S)


def _row(model: CountedModel, counts: _Counts) -> ModelCounters:
    return ModelCounters(
        *model,
        success=0,
        success_ns=0,
        fail=0,
        fail_ns=0,
        queue_ns=0,
        compute_input_ns=0,
        compute_infer_ns=0,
        compute_output_ns=0,
        inference_count=counts.inference_count,
        execution_count=counts.execution_count,
        last_inference_ms=counts.last_inference_ms,
        batch_stats=tuple((size, *counts.batches[size]) for size in sorted(counts.batches)),
        reasons=dict(counts.reasons),
    )
