from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from shoal.workers.python.error import TritonModelException
from shoal.workers.python.metrics import Metric, MetricFamily, Sample, samples

COUNTER, GAUGE, HISTOGRAM = MetricFamily.COUNTER, MetricFamily.GAUGE, MetricFamily.HISTOGRAM


def metric_of(kind: Any, name: str = "family") -> Metric:
    return MetricFamily(name, "text", kind).Metric(buckets=[1.0, 2.0] if kind is HISTOGRAM else None)


def test_a_counter_grows() -> None:
    counter = metric_of(COUNTER)
    counter.increment(2)
    counter.increment(0.5)
    assert counter.value() == 2.5


def test_a_counter_does_not_shrink() -> None:
    counter = metric_of(COUNTER)
    with pytest.raises(TritonModelException, match=r"Failed to increment metric value: .*monotonically"):
        counter.increment(-1)
    assert counter.value() == 0


def test_a_gauge_moves_both_ways_and_can_be_set() -> None:
    gauge = metric_of(GAUGE)
    gauge.set(5)
    gauge.increment(-2)
    assert gauge.value() == 3


def test_a_histogram_counts_observations_by_upper_bound() -> None:
    histogram = metric_of(HISTOGRAM)
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert Sample("family", "text", HISTOGRAM, {}, 12.0, (1.0, 2.0), (2, 1, 1)) in samples()


@pytest.mark.parametrize(
    ("kind", "use", "text"),
    [
        (
            COUNTER,
            lambda m: m.set(1),
            "Failed to set metric value: TRITONSERVER_METRIC_KIND_COUNTER does not support Set",
        ),
        (COUNTER, lambda m: m.observe(1), "TRITONSERVER_METRIC_KIND_COUNTER does not support Observe"),
        (GAUGE, lambda m: m.observe(1), "TRITONSERVER_METRIC_KIND_GAUGE does not support Observe"),
        (HISTOGRAM, lambda m: m.set(1), "TRITONSERVER_METRIC_KIND_HISTOGRAM does not support Set"),
        (HISTOGRAM, lambda m: m.increment(1), "TRITONSERVER_METRIC_KIND_HISTOGRAM does not support Increment"),
        (HISTOGRAM, lambda m: m.value(), "TRITONSERVER_METRIC_KIND_HISTOGRAM does not support Value"),
    ],
)
def test_operations_of_another_kind_are_refused(kind: Any, use: Callable[[Metric], object], text: str) -> None:
    with pytest.raises(TritonModelException, match=text):
        use(metric_of(kind))


def test_the_same_family_and_labels_share_a_value() -> None:
    first = MetricFamily("shared", "text", COUNTER).Metric({"a": "1", "b": "2"})
    second = MetricFamily("shared", "text", COUNTER).Metric({"b": "2", "a": "1"})
    other = MetricFamily("shared", "text", COUNTER).Metric({"a": "1"})
    first.increment(1)
    assert (second.value(), other.value()) == (1, 0)


def test_a_value_ends_with_its_last_metric_and_family() -> None:
    family = MetricFamily("short", "text", COUNTER)
    family.Metric().increment(1)
    gc.collect()
    assert family.Metric().value() == 0
    del family
    gc.collect()
    assert MetricFamily("short", "other text", GAUGE).Metric().value() == 0


def test_a_metric_keeps_its_family() -> None:
    metric = metric_of(GAUGE, "kept")
    gc.collect()
    with pytest.raises(
        TritonModelException, match="MetricFamily 'kept' as COUNTER described as 'text': it exists as GAUGE"
    ):
        MetricFamily("kept", "text", COUNTER)
    assert metric.value() == 0


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (HISTOGRAM, {}, "histogram family 'family' needs buckets"),
        (HISTOGRAM, {"buckets": []}, "histogram family 'family' needs buckets"),
        (HISTOGRAM, {"buckets": [1.0, 1.0]}, r"buckets \[1.0, 1.0\] are not ascending"),
        (COUNTER, {"buckets": [1.0]}, "family 'family' is no histogram, so it has no buckets"),
        (GAUGE, {"labels": {"a": 1}}, "label 'a': expected text, got 1"),
    ],
)
def test_wrong_buckets_and_labels_are_refused(kind: Any, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(TritonModelException, match=f"Error when creating Metric: .*{text}"):
        MetricFamily("family", "text", kind).Metric(**arguments)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TritonModelException, match="'COUNTER' is none of COUNTER, GAUGE and HISTOGRAM"):
        MetricFamily("family", "text", "COUNTER")  # type: ignore[arg-type]
