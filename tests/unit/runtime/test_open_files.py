from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from shoal.runtime.open_files import allow_open_files


@pytest.fixture
def hard() -> Iterator[int]:
    """The hard limit; the soft one is low during the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_is_raised_to_what_is_wanted(hard: int) -> None:
    assert allow_open_files(300) == 300
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)


def test_the_limit_is_never_lowered(hard: int) -> None:
    assert allow_open_files(10) == 256


def test_the_limit_stays_within_what_the_system_allows(hard: int) -> None:
    if hard == resource.RLIM_INFINITY:
        pytest.skip("no limit here")
    assert allow_open_files(hard + 1) == hard
