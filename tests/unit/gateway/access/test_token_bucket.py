from __future__ import annotations

import pytest

from shoal.gateway.access.token_bucket import TokenBucket


def test_a_burst_goes_through_at_once_and_then_the_rate() -> None:
    bucket = TokenBucket(per_second=10, burst=3, now=100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(100.0) == pytest.approx(0.1)
    assert bucket.take(100.05) == pytest.approx(0.05)
    assert bucket.take(100.11) == 0.0


def test_a_pause_fills_it_up_to_the_burst_and_no_further() -> None:
    bucket = TokenBucket(per_second=10, burst=2, now=0.0)
    bucket.take(0.0)
    assert [bucket.take(1000.0) > 0 for _ in range(3)] == [False, False, True]


def test_what_is_refused_takes_nothing() -> None:
    bucket = TokenBucket(per_second=1, burst=1, now=0.0)
    bucket.take(0.0)
    for _ in range(100):
        bucket.take(0.5)
    assert bucket.take(1.01) == 0.0
