"""Statistics as a grow-only map: incarnation -> its cumulative counters.

Each process counts for itself and never backwards, so of two rows of one incarnation and generation the larger one is
the newer, in whatever order they arrive: observing a row twice or late changes nothing, and the sum over all
incarnations is exact. Whoever listens remembers the counters of those that do not speak for themselves any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping
from operator import add

from shoal.core.messages import ModelCounters

#: Model, version and generation that a row of counters belongs to.
CounterKey = tuple[str, int, str]

_NO_SUMS = (0,) * 10


class CounterLedger:
    """The newest counters heard of every incarnation. `observe`, `merge` and `retain` are the doors of change.

    One row is kept per incarnation and generation of a model version, a few hundred bytes each; `retain` drops those
    of generations that nobody asks for any more. Not thread-safe.
    """

    def __init__(self) -> None:
        self._rows: dict[CounterKey, dict[str, ModelCounters]] = {}

    def observe(self, incarnation: str, counters: Iterable[ModelCounters]) -> None:
        """Take in counters of a process; generations that it does not mention keep what is known."""
        for row in counters:
            known = self._rows.setdefault(row[:3], {})
            before = known.get(incarnation)
            if before is None or _growth(row) >= _growth(before):
                known[incarnation] = row

    def without(self, speaking: Container[str]) -> dict[str, tuple[ModelCounters, ...]]:
        """The counters of those that do not speak for themselves (any more), by incarnation: what a `StatisticsReply`
        adds to the sender's own. One that is silent is among them long before it is taken for gone: others may have
        heard less of it than we have."""
        found: dict[str, list[ModelCounters]] = {}
        for known in self._rows.values():
            for incarnation, row in known.items():
                if incarnation not in speaking:
                    found.setdefault(incarnation, []).append(row)
        return {incarnation: tuple(rows) for incarnation, rows in found.items()}

    def merge(self, counters: Mapping[str, Iterable[ModelCounters]]) -> None:
        """Take in what another process knows (`StatisticsReply.counters`), living or not; merging twice is harmless."""
        for incarnation, rows in counters.items():
            self.observe(incarnation, rows)

    def total(self, model: str, version: int, generation: str) -> ModelCounters:
        """The sum over all incarnations for one generation of a model version; all 0 when nobody counted anything.

        `last_inference_ms` is the latest one; `batch_stats` are ascending by batch size.
        """
        rows = self._rows.get((model, version, generation), {}).values()
        sums: tuple[int, ...] = _NO_SUMS
        last_inference_ms = 0
        reasons: Counter[str] = Counter()
        for row in rows:
            sums = tuple(map(add, sums, _sums(row)))
            last_inference_ms = max(last_inference_ms, row.last_inference_ms)
            reasons.update(row.reasons)
        key = (model, version, generation)
        return ModelCounters._make((*key, *sums, last_inference_ms, _batch_stats(rows), dict(reasons)))

    def generations(self) -> tuple[CounterKey, ...]:
        """Everything that something is known of."""
        return tuple(self._rows)

    def retain(self, live: Collection[CounterKey]) -> None:
        """Forget every generation that is not in `live`; statistics start at zero when a model is loaded anew."""
        self._rows = {key: known for key, known in self._rows.items() if key in live}


def _sums(row: ModelCounters) -> tuple[int, ...]:
    """`success` up to `execution_count`."""
    return row[3:13]


def _growth(row: ModelCounters) -> tuple[int, ...]:
    # All of these only grow in one process, hence of two rows one is the larger in every field.
    return (*_sums(row), row.last_inference_ms, sum(row.reasons.values()))


def _batch_stats(rows: Iterable[ModelCounters]) -> tuple[tuple[int, int, int, int, int], ...]:
    by_size: dict[int, tuple[int, int, int, int]] = {}
    for row in rows:
        for size, count, input_ns, infer_ns, output_ns in row.batch_stats:
            before = by_size.get(size, (0, 0, 0, 0))
            by_size[size] = (before[0] + count, before[1] + input_ns, before[2] + infer_ns, before[3] + output_ns)
    return tuple((size, *by_size[size]) for size in sorted(by_size))
