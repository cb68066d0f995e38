"""`MetricFamily` and `Metric`: a model's own metrics. Values live in this process as long as their objects do."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import pairwise
from threading import Lock
from typing import NamedTuple
from weakref import WeakValueDictionary

from shoal.workers.python.error import TritonModelException


class MetricKind(Enum):
    COUNTER = "COUNTER"
    GAUGE = "GAUGE"
    HISTOGRAM = "HISTOGRAM"


_Labels = frozenset[tuple[str, str]]


class _Value:
    """What all metrics of one family with the same labels share.

    For a histogram `value` is the sum of the observations, `buckets` are upper bounds, and `counts` has one more entry
    for what is above the last.
    """

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self.lock = Lock()
        self.value = 0.0
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)


class _Series:
    """What all families of one name share. Values go with the last metric that refers to them."""

    def __init__(self, description: str, kind: MetricKind) -> None:
        self.description = description
        self.kind = kind
        self.values: WeakValueDictionary[_Labels, _Value] = WeakValueDictionary()


#: The living series by family name: one page of metrics per process, as Triton has one per server.
_living: WeakValueDictionary[str, _Series] = WeakValueDictionary()


class Sample(NamedTuple):
    """One metric now. `counts` are the observations up to each of `buckets`, not cumulative, and above the last."""

    family: str
    description: str
    kind: MetricKind
    labels: dict[str, str]
    value: float
    buckets: tuple[float, ...]
    counts: tuple[int, ...]


def samples() -> list[Sample]:
    """Every living metric of this process, for the metrics page."""
    return [
        Sample(name, series.description, series.kind, dict(labels), one.value, one.buckets, tuple(one.counts))
        for name, series in list(_living.items())
        for labels, one in list(series.values.items())
    ]


class Metric:
    """One metric of a family. Made by `MetricFamily.Metric`; may be used from any thread."""

    def __init__(self, series: _Series, value: _Value) -> None:
        self._series = series
        self._value = value

    def increment(self, value: float) -> None:
        """Add to a counter (`value` not negative) or a gauge."""
        kind = self._series.kind
        if kind is MetricKind.HISTOGRAM:
            raise self._refused("increment metric value", "Increment")
        if kind is MetricKind.COUNTER and value < 0:
            raise TritonModelException(
                "Failed to increment metric value: TRITONSERVER_METRIC_KIND_COUNTER can only be incremented "
                f"monotonically by non-negative values, got {value}"
            )
        with self._value.lock:
            self._value.value += value

    def set(self, value: float) -> None:
        """Set a gauge."""
        if self._series.kind is not MetricKind.GAUGE:
            raise self._refused("set metric value", "Set")
        with self._value.lock:
            self._value.value = float(value)

    def observe(self, value: float) -> None:
        """Count `value` in a histogram."""
        if self._series.kind is not MetricKind.HISTOGRAM:
            raise self._refused("observe metric value", "Observe")
        with self._value.lock:
            self._value.value += value
            self._value.counts[bisect_left(self._value.buckets, value)] += 1

    def value(self) -> float:
        """The value of a counter or gauge."""
        if self._series.kind is MetricKind.HISTOGRAM:
            raise self._refused("get metric value", "Value")
        return self._value.value

    def _refused(self, action: str, operation: str) -> TritonModelException:
        kind = self._series.kind.value
        return TritonModelException(f"Failed to {action}: TRITONSERVER_METRIC_KIND_{kind} does not support {operation}")


class MetricFamily:
    """Metrics of one name, description and kind. Made again with the same three, it shares its values."""

    COUNTER = MetricKind.COUNTER
    GAUGE = MetricKind.GAUGE
    HISTOGRAM = MetricKind.HISTOGRAM

    def __init__(self, name: str, description: str, kind: MetricKind) -> None:
        """Raises TritonModelException when a living family of this name has another description or kind."""
        if not isinstance(kind, MetricKind):
            raise _not_created(f"MetricFamily '{name}'", f"kind {kind!r} is none of COUNTER, GAUGE and HISTOGRAM")
        series = _living.get(name)
        if series is None:
            series = _living[name] = _Series(description, kind)
        elif (series.description, series.kind) != (description, kind):
            exists = f"it exists as {series.kind.value} described as '{series.description}'"
            raise _not_created(f"MetricFamily '{name}' as {kind.value} described as '{description}'", exists)
        self._name = name
        self._series = series

    def Metric(self, labels: Mapping[str, str] | None = None, buckets: Sequence[float] | None = None) -> Metric:
        """The metric with these labels. `buckets`: upper bounds, ascending, for a histogram, which needs them.

        Raises TritonModelException for labels that are not text, and buckets that are missing, not ascending or given
        for another kind.
        """
        for key, text in (labels or {}).items():
            if not (isinstance(key, str) and isinstance(text, str)):
                raise _not_created("Metric", f"family '{self._name}', label {key!r}: expected text, got {text!r}")
        bounds = self._checked(buckets)
        names: _Labels = frozenset((labels or {}).items())
        value = self._series.values.get(names)
        if value is None:
            value = self._series.values[names] = _Value(bounds)
        return Metric(self._series, value)

    def _checked(self, buckets: Sequence[float] | None) -> tuple[float, ...]:
        if self._series.kind is not MetricKind.HISTOGRAM:
            if buckets is not None:
                raise _not_created("Metric", f"family '{self._name}' is no histogram, so it has no buckets")
            return ()
        if not buckets:
            raise _not_created("Metric", f"histogram family '{self._name}' needs buckets")
        if any(lower >= upper for lower, upper in pairwise(buckets)):
            raise _not_created("Metric", f"family '{self._name}': buckets {list(buckets)} are not ascending")
        return tuple(buckets)


def _not_created(what: str, why: str) -> TritonModelException:
    return TritonModelException(f"Error when creating {what}: {why}")
