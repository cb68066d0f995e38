from __future__ import annotations

from shoal.core.answer_counts import AnswerCounts
from shoal.core.errors import Code
from shoal.core.messages import NO_TIMINGS, V2, InferResponse, ModelCounters, Timings

MODEL = ("addsub", 1, "g1")
RAN = Timings(5, 10, 20, 30)


def response(error: tuple[int, str] | None = None, executed: bool = True, timings: Timings = RAN) -> InferResponse:
    return InferResponse(V2, 1, 0, True, executed, error, (), {}, timings, False)


def counted(*answers: InferResponse, is_ensemble: bool = False) -> ModelCounters | None:
    counts = AnswerCounts()
    for answer in answers:
        counts.count_answer(MODEL, answer, 100, is_ensemble=is_ensemble)
    rows = counts.all()
    return rows[0] if rows else None


def test_an_answer_counts_as_success_with_its_times() -> None:
    row = counted(response(), response())
    assert row is not None
    assert (row.model, row.version, row.generation) == ("addsub", 1, "g1")
    assert (row.success, row.success_ns, row.fail) == (2, 200, 0)
    assert (row.queue_ns, row.compute_input_ns, row.compute_infer_ns, row.compute_output_ns) == (10, 20, 40, 60)


def test_an_error_that_the_model_answered_counts_as_success() -> None:
    row = counted(response(error=(Code.INTERNAL, "not a number")))
    assert row is not None
    assert (row.success, row.fail) == (1, 0)


def test_a_failed_execution_counts_as_failure_of_the_backend() -> None:
    row = counted(response(error=(Code.INTERNAL, "raised"), timings=NO_TIMINGS._replace(queue_ns=5)))
    assert row is not None
    assert (row.success, row.fail, row.fail_ns, row.reasons) == (0, 1, 100, {"BACKEND": 1})


def test_a_request_that_was_evicted_from_the_queue_counts_as_rejected_or_cancelled() -> None:
    queued = NO_TIMINGS._replace(queue_ns=5)
    row = counted(
        response(error=(Code.UNAVAILABLE, "timeout"), executed=False, timings=queued),
        response(error=(Code.CANCELLED, "gone"), executed=False, timings=queued),
    )
    assert row is not None
    assert (row.fail, row.reasons) == (2, {"REJECTED": 1, "CANCELED": 1})


def test_a_request_that_was_refused_at_the_door_is_not_counted() -> None:
    assert counted(response(error=(Code.UNAVAILABLE, "queue full"), executed=False, timings=NO_TIMINGS)) is None


def test_a_change_is_told_with_the_next_heartbeats_and_then_no_more() -> None:
    counts = AnswerCounts()
    assert counts.changed_lately() == ()
    counts.count_answer(MODEL, response(), 100, is_ensemble=False)
    told = [len(counts.changed_lately()) for _ in range(12)]
    assert told[0] == 1
    assert told[-1] == 0


def test_generations_that_are_gone_are_forgotten() -> None:
    counts = AnswerCounts()
    counts.count_failure(MODEL, 100, "OTHER")
    counts.retain({("addsub", 1, "g2")})
    assert counts.all() == ()


def test_an_ensemble_fails_with_any_error_for_the_reason_other() -> None:
    """observability.md: ensembles use OTHER and also count the top-level request."""
    queued = NO_TIMINGS._replace(queue_ns=1)
    row = counted(
        response(error=(Code.INTERNAL, "not a number")),
        response(error=(Code.UNAVAILABLE, "timeout"), executed=False, timings=queued),
        response(error=(Code.UNAVAILABLE, "queue full"), executed=False, timings=NO_TIMINGS),
        is_ensemble=True,
    )
    assert row is not None
    assert (row.success, row.fail, row.reasons) == (0, 2, {"OTHER": 2})


def test_executions_that_no_executor_counts_are_counted_by_batch_size() -> None:
    counts = AnswerCounts()
    for size in (2, 1, 2):
        counts.count_execution(MODEL, size, RAN, unix_ms=7)
    (row,) = counts.all()
    assert (row.execution_count, row.inference_count, row.last_inference_ms) == (3, 5, 7)
    assert row.batch_stats == ((1, 1, 10, 20, 30), (2, 2, 20, 40, 60))
    assert row.success == 0
