"""What this gateway counts of the answers it gave, per generation of a model version, in Triton's sense.

A request counts as *success* when the model answered it, be it with an error of its own; as *fail* when its execution
failed or it was given up after having been accepted; and not at all when it was refused at the door (queue full).
"""

from __future__ import annotations

from shoal.core.errors import Code
from shoal.core.ledger import CounterKey
from shoal.core.messages import InferResponse, ModelCounters
from shoal.gateway.models import ServedVersion

#: Failure reasons, as Triton's metrics name them.
REJECTED, CANCELED, BACKEND, OTHER = "REJECTED", "CANCELED", "BACKEND", "OTHER"
#: A row is sent with this many heartbeats after its last change, so that it outlives the loss of some.
_BEATS_TOLD = 8


class _Row:
    """Running sums of one generation of a model version."""

    __slots__ = (
        "compute_infer_ns",
        "compute_input_ns",
        "compute_output_ns",
        "fail",
        "fail_ns",
        "queue_ns",
        "reasons",
        "success",
        "success_ns",
        "untold_beats",
    )

    def __init__(self) -> None:
        self.success = self.success_ns = self.fail = self.fail_ns = 0
        self.queue_ns = self.compute_input_ns = self.compute_infer_ns = self.compute_output_ns = 0
        self.reasons: dict[str, int] = {}
        self.untold_beats = 0


class AnswerCounts:
    """Counts by (model, version, generation). Not thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[CounterKey, _Row] = {}

    def count_answer(self, served: ServedVersion, response: InferResponse, elapsed_ns: int) -> None:
        """Count an answer; `elapsed_ns` is how long the request was open."""
        queue_ns, input_ns, infer_ns, output_ns = response.timings
        if response.error is not None and not (response.executed and input_ns + infer_ns + output_ns > 0):
            if response.executed:
                self.count_failure(served, elapsed_ns, BACKEND)
            elif queue_ns > 0:
                is_cancelled = response.error[0] == Code.CANCELLED
                self.count_failure(served, elapsed_ns, CANCELED if is_cancelled else REJECTED)
            return
        row = self._row(served)
        row.success += 1
        row.success_ns += elapsed_ns
        row.queue_ns += queue_ns
        row.compute_input_ns += input_ns
        row.compute_infer_ns += infer_ns
        row.compute_output_ns += output_ns

    def count_failure(self, served: ServedVersion, elapsed_ns: int, reason: str) -> None:
        """Count a request that was accepted and never answered by its model."""
        row = self._row(served)
        row.fail += 1
        row.fail_ns += elapsed_ns
        row.reasons[reason] = row.reasons.get(reason, 0) + 1

    def all(self) -> tuple[ModelCounters, ...]:
        return tuple(_counters(key, row) for key, row in self._rows.items())

    def changed_lately(self) -> tuple[ModelCounters, ...]:
        """What the next heartbeat should carry; to be called once per heartbeat."""
        changed = []
        for key, row in self._rows.items():
            if row.untold_beats > 0:
                row.untold_beats -= 1
                changed.append(_counters(key, row))
        return tuple(changed)

    def retain(self, live: set[CounterKey]) -> None:
        """Forget generations that are not in `live`."""
        for key in self._rows.keys() - live:
            del self._rows[key]

    def _row(self, served: ServedVersion) -> _Row:
        key = (served.model, served.version, served.generation)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        row.untold_beats = _BEATS_TOLD
        return row


def _counters(key: CounterKey, row: _Row) -> ModelCounters:
    model, version, generation = key
    return ModelCounters(
        model=model,
        version=version,
        generation=generation,
        success=row.success,
        success_ns=row.success_ns,
        fail=row.fail,
        fail_ns=row.fail_ns,
        queue_ns=row.queue_ns,
        compute_input_ns=row.compute_input_ns,
        compute_infer_ns=row.compute_infer_ns,
        compute_output_ns=row.compute_output_ns,
        inference_count=0,
        execution_count=0,
        last_inference_ms=0,
        batch_stats=(),
        reasons=dict(row.reasons),
    )
