"""What tests of several kinds share: a real broker of its own for each test that asks for one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker; ended with the test."""
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(autouse=True)
def _log_settings_of_one_test() -> Iterator[None]:
    """What a test makes of the logs of this process is over with it."""
    shoal = logging.getLogger("shoal")
    handlers, level, propagate = shoal.handlers[:], shoal.level, shoal.propagate
    yield
    shoal.handlers[:], shoal.propagate = handlers, propagate
    # By its method, since loggers remember what is enabled.
    shoal.setLevel(level)
