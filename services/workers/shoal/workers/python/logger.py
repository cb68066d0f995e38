"""`Logger`: a model's lines in the server's log, with the file and line of the caller."""

from __future__ import annotations

import sys
from enum import Enum
from os.path import basename
from types import FrameType

from shoal.telemetry.logs import get_logger
from shoal.workers.python.error import TritonModelException


class LogLevel(Enum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    VERBOSE = "verbose"


class Logger:
    """Used without an object: `Logger.log_info("...")`. VERBOSE lines appear when the server logs verbosely."""

    INFO = LogLevel.INFO
    WARNING = LogLevel.WARNING
    ERROR = LogLevel.ERROR
    VERBOSE = LogLevel.VERBOSE

    @staticmethod
    def log(message: str, level: LogLevel = LogLevel.INFO) -> None:
        """Raises TritonModelException when `level` is none of this class's levels."""
        if not isinstance(level, LogLevel):
            raise TritonModelException(f"log level {level!r} is unknown; use Logger.INFO, WARNING, ERROR or VERBOSE")
        _write(message, level, sys._getframe(1))

    @staticmethod
    def log_info(message: str) -> None:
        _write(message, LogLevel.INFO, sys._getframe(1))

    @staticmethod
    def log_warn(message: str) -> None:
        _write(message, LogLevel.WARNING, sys._getframe(1))

    @staticmethod
    def log_error(message: str) -> None:
        _write(message, LogLevel.ERROR, sys._getframe(1))

    @staticmethod
    def log_verbose(message: str) -> None:
        _write(message, LogLevel.VERBOSE, sys._getframe(1))


_log = get_logger("model")
_WRITE = {
    LogLevel.INFO: "info",
    LogLevel.WARNING: "warning",
    LogLevel.ERROR: "error",
    LogLevel.VERBOSE: "debug",
}


def bind_instance(model: str, version: int, instance: str) -> None:
    """Name the instance in every later line; this process has one."""
    global _log  # noqa: PLW0603 - models use the class itself, so there is no object to bind to
    _log = get_logger("model").bind(model=model, version=version, instance=instance)


def _write(message: str, level: LogLevel, caller: FrameType) -> None:
    getattr(_log, _WRITE[level])(str(message), file=basename(caller.f_code.co_filename), line=caller.f_lineno)
