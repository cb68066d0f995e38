from __future__ import annotations

import io
import json
import logging
import re
from pathlib import Path

import pytest

from shoal.telemetry import logs
from shoal.telemetry.log_settings import LOG_FILE, LOG_SETTINGS, LogSettings


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(LogSettings(), stream)
    return stream


def write_each_level() -> None:
    log = logs.get_logger("test")
    log.debug("detail")
    log.info("information")
    log.warning("warning")
    log.error("error")


def events(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_settings_decide_at_once_what_is_written(stream: io.StringIO) -> None:
    write_each_level()
    assert events(stream) == ["information", "warning", "error"]
    stream.truncate(0)
    stream.seek(0)
    logs.apply(LogSettings(info=False, error=False, verbose_level=1))
    write_each_level()
    assert events(stream) == ["detail", "warning"]


def test_with_everything_off_nothing_is_written(stream: io.StringIO) -> None:
    logs.apply(LogSettings(info=False, warning=False, error=False))
    write_each_level()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("settings", "head"),
    [
        (LogSettings(format="default"), r"W\d{4} \d\d:\d\d:\d\d\.\d{6} \d+"),
        (LogSettings(format="ISO8601"), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ W \d+"),
    ],
)
def test_tritons_lines_name_the_place_and_quote_the_message(
    stream: io.StringIO, settings: LogSettings, head: str
) -> None:
    logs.apply(settings)
    logs.get_logger("test").bind(model="ocr").warning('said "no"', tries=2)
    assert re.fullmatch(
        head + r' test_logs\.py:\d+\] "said \\"no\\" model=ocr tries=2"', stream.getvalue().removesuffix("\n")
    )


def test_details_have_the_letter_of_information(stream: io.StringIO) -> None:
    logs.apply(LogSettings(format="default", info=False, verbose_level=1))
    logs.get_logger("test").debug("detail")
    assert stream.getvalue().startswith("I")


def test_an_exception_is_written_with_its_traceback_in_one_line(stream: io.StringIO) -> None:
    logs.apply(LogSettings(format="ISO8601"))
    try:
        raise ValueError("wrong")
    except ValueError:
        logs.get_logger("test").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "test_logs.py" in line
    assert "ValueError: wrong" in line


def test_the_environment_names_the_settings_and_the_file(stream: io.StringIO, tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    logs.configure_from({LOG_SETTINGS: '{"log_format": "ISO8601", "log_info": false}', LOG_FILE: str(file)})
    write_each_level()
    for handler in logging.getLogger("shoal").handlers:
        assert isinstance(handler, logging.StreamHandler)
        handler.stream.close()
    assert [line.rpartition("] ")[2] for line in file.read_text().splitlines()] == ['"warning"', '"error"']
