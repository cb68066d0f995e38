"""What is logged and in which form: Triton's log settings, in its keys."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shoal.core.errors import InvalidArgument

#: Environment of a process: its settings at the start, in the form of `to_json`; missing keys have their defaults.
LOG_SETTINGS = "SHOAL_LOG_SETTINGS"
#: Likewise: the file that its log is appended to; standard error without.
LOG_FILE = "SHOAL_LOG_FILE"

LogFormat = Literal["default", "ISO8601"]

#: Field, and the key it has in Triton's protocol.
_KEYS = {
    "info": "log_info",
    "warning": "log_warning",
    "error": "log_error",
    "verbose_level": "log_verbose_level",
    "format": "log_format",
}


@dataclass(frozen=True)
class LogSettings:
    """Each switch is for its own level alone; `verbose_level` above 0 shows details. `format`: Triton's lines in one of
    its two forms of time, None for Shoal's own: JSON, or aligned text on a terminal."""

    info: bool = True
    warning: bool = True
    error: bool = True
    verbose_level: int = 0
    format: LogFormat | None = None

    def updated(self, changes: Mapping[str, Any]) -> LogSettings:
        """With the values of `changes`, by Triton's keys; other keys and values of None say nothing."""
        known = {field: changes[key] for field, key in _KEYS.items() if changes.get(key) is not None}
        return LogSettings(**{**self.__dict__, **known})

    def to_json(self) -> dict[str, Any]:
        """By Triton's keys; a format of our own is left out."""
        return {key: value for field, key in _KEYS.items() if (value := getattr(self, field)) is not None}

    def shows(self, level: int) -> bool:
        """Whether events of this level of `logging` are written."""
        if level >= logging.ERROR:
            return self.error
        if level >= logging.WARNING:
            return self.warning
        if level >= logging.INFO:
            return self.info
        return self.verbose_level > 0


def from_environment(environment: Mapping[str, str]) -> LogSettings:
    """The settings that a process is started with. Raises InvalidArgument when they cannot be read."""
    text = environment.get(LOG_SETTINGS)
    if not text:
        return LogSettings()
    try:
        return LogSettings().updated(json.loads(text))
    except (ValueError, AttributeError) as error:
        raise InvalidArgument(
            f'{LOG_SETTINGS} is {text!r}, expected a JSON object such as {{"log_verbose_level": 1}}'
        ) from error
