"""What tests of several kinds share: a real broker of its own for each test that asks for one."""

from __future__ import annotations

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
