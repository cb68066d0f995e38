from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from shoal.telemetry import logs
from shoal.telemetry.log_settings import LogSettings
from shoal.workers.python.error import TritonModelException
from shoal.workers.python.logger import Logger, bind_instance


@pytest.fixture
def written() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(LogSettings(verbose_level=1), stream)
    return stream


def only_line(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, object] = json.loads(line)
    return parsed


@pytest.mark.parametrize(
    ("write", "level"),
    [
        (Logger.log_info, "info"),
        (Logger.log_warn, "warning"),
        (Logger.log_error, "error"),
        (Logger.log_verbose, "debug"),
    ],
)
def test_each_method_writes_at_its_level(write: Callable[[str], None], level: str, written: io.StringIO) -> None:
    write("100 % done")
    line = only_line(written)
    assert (line["event"], line["level"]) == ("100 % done", level)


def test_lines_name_the_instance_and_the_callers_file(written: io.StringIO) -> None:
    bind_instance("ocr", 3, "ocr_0")
    Logger.log("hello", Logger.WARNING)
    line = only_line(written)
    assert (line["model"], line["version"], line["instance"], line["level"]) == ("ocr", 3, "ocr_0", "warning")
    assert line["file"] == "test_logger.py"
    assert isinstance(line["line"], int)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(TritonModelException, match="log level 7 is unknown"):
        Logger.log("hello", 7)  # type: ignore[arg-type]
