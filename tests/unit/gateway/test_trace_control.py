from __future__ import annotations

import pytest

from local_shared import LocalShared
from shoal.core.errors import InvalidArgument
from shoal.gateway.trace_control import TraceControl
from shoal.telemetry.trace_settings import TraceSettings

START = TraceSettings(rate=500, file="t")


async def test_changes_reach_every_gateway_and_only_their_model() -> None:
    shared = LocalShared()
    one, other = TraceControl(shared, START), TraceControl(shared, START)
    await one.update("ocr", {"trace_rate": 23})
    await other.update(None, {"trace_rate": 31, "trace_level": ["TENSORS"]})
    assert other.current("ocr") == TraceSettings(("TENSORS",), rate=23, file="t")
    assert one.current("other") == one.current(None) == TraceSettings(("TENSORS",), rate=31, file="t")


async def test_what_is_taken_back_is_inherited_again() -> None:
    control = TraceControl(LocalShared(), START)
    await control.update("ocr", {"trace_rate": 23})
    await control.update("ocr", {"trace_rate": None})
    await control.update(None, {"trace_rate": 31})
    assert control.current("ocr").rate == 31
    await control.update(None, {"trace_rate": None})
    assert control.current("ocr") == START


async def test_a_refused_change_changes_nothing() -> None:
    control = TraceControl(LocalShared(), TraceSettings())
    with pytest.raises(InvalidArgument, match="trace file name is not given"):
        await control.update(None, {"trace_level": ["TENSORS"], "trace_rate": 3})
    assert control.current(None) == TraceSettings()


async def test_a_change_that_changes_nothing_is_not_written() -> None:
    shared = LocalShared()
    await TraceControl(shared, START).update(None, {"trace_rate": None})
    assert shared.values == {}
