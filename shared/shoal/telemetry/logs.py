"""Structured logs: an event is a short past-tense phrase with fields, never a sentence with values pasted in.

JSON, one object per line, when standard error is not a terminal; aligned and readable on one. Nothing per request is
logged at info level; payloads, keys and header values never are.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import IO

Field = str | int | float | bool | None

_ROOT = "shoal"


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
        self._logger.error(event, extra={"component": self._component, "fields": self._bound | fields}, exc_info=True)

    def _write(self, level: int, event: str, fields: dict[str, Field]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={"component": self._component, "fields": self._bound | fields})


def get_logger(component: str) -> Logger:
    return Logger(component)


def configure(level: int = logging.INFO, stream: IO[str] | None = None) -> None:
    """Send Shoal's events to `stream` (standard error by default). To be called once, by a process's main."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(_Readable() if target.isatty() else _Json())
    root = logging.getLogger(_ROOT)
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


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
