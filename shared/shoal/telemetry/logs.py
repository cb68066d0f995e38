"""Structured logs: an event is a short past-tense phrase with fields, never a sentence with values pasted in.

JSON, one object per line, when standard error is not a terminal; aligned and readable on one; Triton's lines where they
are asked for. Nothing per request is logged at info level; payloads, keys and header values never are.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import IO

from shoal.telemetry.log_settings import LOG_FILE, LogFormat, LogSettings, from_environment

Field = str | int | float | bool | None

_ROOT = "shoal"
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


class Logger:
    """Writes events of one service or part, `component`, with the fields bound to it."""

    def __init__(self, component: str, **bound: Field) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{component}")
        self._component = component
        self._bound = bound

    def bind(self, **fields: Field) -> Logger:
        return Logger(self._component, **(self._bound | fields))

    def debug(self, event: str, **fields: Field) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Field) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Field) -> None:
        """An error with the traceback of the exception being handled."""
        extra = {"component": self._component, "fields": self._bound | fields}
        self._logger.error(event, extra=extra, exc_info=True, stacklevel=2)

    def _write(self, level: int, event: str, fields: dict[str, Field]) -> None:
        if self._logger.isEnabledFor(level):
            extra = {"component": self._component, "fields": self._bound | fields}
            self._logger.log(level, event, extra=extra, stacklevel=3)


def get_logger(component: str) -> Logger:
    return Logger(component)


def configure(settings: LogSettings | None = None, stream: IO[str] | None = None) -> None:
    """Send Shoal's events to `stream` (standard error by default). To be called once, by a process's main."""
    root = logging.getLogger(_ROOT)
    root.handlers[:] = [logging.StreamHandler(stream or sys.stderr)]
    root.propagate = False
    apply(settings or LogSettings())


def configure_from(environment: Mapping[str, str]) -> None:
    """`configure` as the environment says (`SHOAL_LOG_SETTINGS`, `SHOAL_LOG_FILE`). Raises InvalidArgument."""
    settings = from_environment(environment)
    path = environment.get(LOG_FILE)
    # Line-buffered and in append mode: several processes write whole lines to one file.
    configure(settings, open(path, "a", buffering=1, encoding="utf-8") if path else None)  # noqa: SIM115


def apply(settings: LogSettings) -> None:
    """Log by these settings from now on, in a process that was configured. May be called from any thread."""
    root = logging.getLogger(_ROOT)
    for handler in root.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setFormatter(_formatter(settings.format, handler.stream.isatty()))
            handler.filters[:] = [lambda record: settings.shows(record.levelno)]
    shown = [level for level in _LEVELS if settings.shows(level)]
    root.setLevel(min(shown, default=logging.CRITICAL))


def _formatter(form: LogFormat | None, is_terminal: bool) -> logging.Formatter:
    if form is not None:
        return _Triton(form)
    return _Readable() if is_terminal else _Json()


def _parts(record: logging.LogRecord) -> tuple[str, dict[str, Field]]:
    return getattr(record, "component", record.name), getattr(record, "fields", {})


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        component, fields = _parts(record)
        line: dict[str, Field] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "component": component,
            "event": record.getMessage(),
            "pid": record.process,
        }
        line.update(fields)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _Readable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        component, fields = _parts(record)
        clock = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        text = " ".join(f"{key}={value}" for key, value in fields.items())
        line = f"{clock} {record.levelname.lower():<7} {component:<10} {record.getMessage():<24} {text}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Triton(logging.Formatter):
    """Triton's lines: level, time (UTC), process, file and line, and the message as a JSON string."""

    def __init__(self, form: LogFormat) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        _, fields = _parts(record)
        file, line = fields.get("file", record.filename), fields.get("line", record.lineno)
        text = " ".join([record.getMessage(), *(f"{key}={value}" for key, value in fields.items())])
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"{self._head(record)} {record.process} {file}:{line}] {json.dumps(text)}"

    def _head(self, record: logging.LogRecord) -> str:
        # As in Triton, details have the letter of information.
        letter = record.levelname[0] if record.levelno > logging.INFO else "I"
        utc = time.gmtime(record.created)
        if self._form == "ISO8601":
            return f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', utc)} {letter}"
        return f"{letter}{time.strftime('%m%d %H:%M:%S', utc)}.{int(record.created % 1 * 1e6):06d}"
