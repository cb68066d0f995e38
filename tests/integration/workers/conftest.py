"""A stage for one worker, on the test's own broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker_stage import Stage

if TYPE_CHECKING:
    from broker_process import Broker


@pytest.fixture
async def stage(broker: Broker, tmp_path: Path) -> AsyncIterator[Stage]:
    """Scheduler and submitter on the bus; the worker is the test's to start."""
    async with AsyncExitStack() as stack:
        yield await Stage.open(broker, tmp_path, stack)
