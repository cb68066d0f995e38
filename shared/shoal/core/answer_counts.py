"""What a submitter counts of the answers to its requests, per generation of a model version, in Triton's sense.

A request counts as *success* when the model answered it, be it with an error of its own; as *fail* when its execution
failed or it was given up after having been accepted; and not at all when it was refused at the door (queue full). An
ensemble fails with any step that does, always for the reason OTHER.
"""

from __future__ import annotations

from shoal.core.errors import Code
from shoal.core.ledger import CounterKey
from shoal.core.messages import InferResponse, ModelCounters, Timings

#: Failure reasons, as Triton's metrics name them.
REJECTED, CANCELED, BACKEND, OTHER = "REJECTED", "CANCELED", "BACKEND", "OTHER"
#: A row is sent with this many heartbeats after its last change, so that it outlives the loss of some.
_BEATS_TOLD = 8


class _Row:
    """Running sums of one generation of a model version."""

    __slots__ = (
        "batches",
        "compute_infer_ns",
        "compute_input_ns",
        "compute_output_ns",
        "fail",
        "fail_ns",
        "inference_count",
        "last_inference_ms",
        "queue_ns",
        "reasons",
        "success",
        "success_ns",
        "untold_beats",
    )

    def __init__(self) -> None:
        self.success = self.success_ns = self.fail = self.fail_ns = 0
        self.queue_ns = self.compute_input_ns = self.compute_infer_ns = self.compute_output_ns = 0
        self.inference_count = self.last_inference_ms = 0
        #: By batch size: executions, then nanoseconds of the three stages.
        self.batches: dict[int, tuple[int, int, int, int]] = {}
        self.reasons: dict[str, int] = {}
        self.untold_beats = 0


class AnswerCounts:
    """Counts by (model, version, generation). Not thread-safe."""

    def __init__(self) -> None:
        self._rows: dict[CounterKey, _Row] = {}

    def count_answer(self, key: CounterKey, response: InferResponse, elapsed_ns: int, *, is_ensemble: bool) -> None:
        """Count an answer; `elapsed_ns` is how long the request was open."""
        queue_ns, input_ns, infer_ns, output_ns = response.timings
        if response.error is not None and (
            is_ensemble or not (response.executed and input_ns + infer_ns + output_ns > 0)
        ):
            reason = _reason(response, is_ensemble)
            if reason is not None:
                self.count_failure(key, elapsed_ns, reason)
            return
        row = self._row(key)
        row.success += 1
        row.success_ns += elapsed_ns
        row.queue_ns += queue_ns
        row.compute_input_ns += input_ns
        row.compute_infer_ns += infer_ns
        row.compute_output_ns += output_ns

    def count_failure(self, key: CounterKey, elapsed_ns: int, reason: str) -> None:
        """Count a request that was accepted and never answered by its model."""
        row = self._row(key)
        row.fail += 1
        row.fail_ns += elapsed_ns
        row.reasons[reason] = row.reasons.get(reason, 0) + 1

    def count_execution(self, key: CounterKey, batch_size: int, timings: Timings, unix_ms: int) -> None:
        """Count an execution that no executor counts: an ensemble's, with the sums of its steps' times."""
        row = self._row(key)
        row.inference_count += batch_size
        row.last_inference_ms = unix_ms
        _, input_ns, infer_ns, output_ns = timings
        count, *known = row.batches.get(batch_size, (0, 0, 0, 0))
        row.batches[batch_size] = (count + 1, known[0] + input_ns, known[1] + infer_ns, known[2] + output_ns)

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

    def _row(self, key: CounterKey) -> _Row:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _Row()
        row.untold_beats = _BEATS_TOLD
        return row


def _reason(response: InferResponse, is_ensemble: bool) -> str | None:
    """Why a request failed; None when it was never accepted."""
    if not (response.executed or response.timings.queue_ns > 0):
        return None
    if is_ensemble:
        return OTHER
    if response.executed:
        return BACKEND
    assert response.error is not None
    return CANCELED if response.error[0] == Code.CANCELLED else REJECTED


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
        inference_count=row.inference_count,
        execution_count=sum(count for count, *_ in row.batches.values()),
        last_inference_ms=row.last_inference_ms,
        batch_stats=tuple((size, *row.batches[size]) for size in sorted(row.batches)),
        reasons=dict(row.reasons),
    )
