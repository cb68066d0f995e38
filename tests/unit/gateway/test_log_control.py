from __future__ import annotations

import io

import pytest

from local_shared import LocalShared
from shoal.gateway.log_control import LogControl
from shoal.telemetry import logs
from shoal.telemetry.log_settings import LogSettings


@pytest.fixture(autouse=True)
def written() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(LogSettings(), stream)
    return stream


def test_settings_of_the_start_are_shown_with_all_six_keys() -> None:
    control = LogControl(LocalShared(), LogSettings(warning=False), "server.log")
    assert control.current() == {
        "log_file": "server.log",
        "log_info": True,
        "log_warning": False,
        "log_error": True,
        "log_verbose_level": 0,
        "log_format": "default",
    }


async def test_a_change_shows_and_acts_at_every_gateway(written: io.StringIO) -> None:
    shared = LocalShared()
    one, other = LogControl(shared, LogSettings(), ""), LogControl(shared, LogSettings(), "")
    await one.update({"log_info": False})
    await other.update({"log_verbose_level": 2, "log_info": None})
    assert one.current() == other.current()
    assert (one.current()["log_info"], one.current()["log_verbose_level"]) == (False, 2)
    log = logs.get_logger("test")
    log.info("information")
    log.debug("detail")
    assert "detail" in written.getvalue()
    assert "information" not in written.getvalue()


async def test_a_change_of_nothing_is_not_written() -> None:
    shared = LocalShared()
    await LogControl(shared, LogSettings(), "").update({"log_info": None})
    assert shared.values == {}
