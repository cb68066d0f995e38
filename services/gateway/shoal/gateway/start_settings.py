"""What a gateway process is started with of the settings that clients may change later."""

from __future__ import annotations

from typing import NamedTuple

from shoal.telemetry.log_settings import LogSettings
from shoal.telemetry.trace_settings import TraceSettings


class StartSettings(NamedTuple):
    """`log_file` empty: the log goes to standard error."""

    log: LogSettings = LogSettings()
    log_file: str = ""
    trace: TraceSettings = TraceSettings()
