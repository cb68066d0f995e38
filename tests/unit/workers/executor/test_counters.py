from __future__ import annotations

from shoal.workers.executor.counters import RECENT_S, CountedModel, ExecutionCounters
from shoal.workers.executor.execution import Computed

MODEL = CountedModel("m", 1, "g1")


def test_executions_add_up_by_batch_size() -> None:
    counters = ExecutionCounters()
    counters.executed(MODEL, Computed(4, 4, 1, 2, 3), "full", 0.0, 1000)
    counters.executed(MODEL, Computed(1, 1, 10, 20, 30), "idle", 1.0, 2000)
    counters.executed(MODEL, Computed(4, 0, 100, 200, 300), "full", 2.0, 3000)
    (row,) = counters.rows()
    assert (row.model, row.version, row.generation) == MODEL
    assert (row.inference_count, row.execution_count, row.last_inference_ms) == (5, 3, 3000)
    assert row.batch_stats == ((1, 1, 10, 20, 30), (4, 2, 101, 202, 303))
    assert row.reasons == {"full": 2, "idle": 1}


def test_what_submitters_count_stays_zero() -> None:
    counters = ExecutionCounters()
    counters.executed(MODEL, Computed(1, 1, 1, 1, 1), "full", 0.0, 1)
    (row,) = counters.rows()
    assert (row.success, row.fail, row.queue_ns, row.compute_infer_ns) == (0, 0, 0, 0)


def test_generations_are_counted_apart() -> None:
    counters = ExecutionCounters()
    for generation in ("g1", "g2"):
        counters.executed(MODEL._replace(generation=generation), Computed(1, 1, 1, 1, 1), "full", 0.0, 1)
    assert [row.generation for row in counters.rows()] == ["g1", "g2"]


def test_only_what_changed_lately_is_told_in_heartbeats() -> None:
    counters = ExecutionCounters()
    counters.executed(MODEL, Computed(1, 1, 1, 1, 1), "full", 10.0, 1)
    assert counters.recent(10.0 + RECENT_S) == counters.rows()
    assert counters.recent(10.1 + RECENT_S) == ()
