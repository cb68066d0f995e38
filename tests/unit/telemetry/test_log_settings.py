from __future__ import annotations

import logging

import pytest

from shoal.core.errors import InvalidArgument
from shoal.telemetry.log_settings import LOG_SETTINGS, LogSettings, from_environment

LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (LogSettings(), (False, True, True, True)),
        (LogSettings(verbose_level=2), (True, True, True, True)),
        (LogSettings(info=False, verbose_level=1), (True, False, True, True)),
        (LogSettings(warning=False), (False, True, False, True)),
        (LogSettings(error=False), (False, True, True, False)),
    ],
)
def test_each_switch_is_for_its_own_level(settings: LogSettings, shown: tuple[bool, ...]) -> None:
    assert tuple(map(settings.shows, LEVELS)) == shown


def test_changes_leave_what_they_do_not_name() -> None:
    before = LogSettings(info=False, format="ISO8601")
    changed = before.updated({"log_verbose_level": 3, "log_info": None, "log_colour": "red"})
    assert changed == LogSettings(info=False, verbose_level=3, format="ISO8601")


def test_a_process_is_started_with_the_settings_in_its_environment() -> None:
    assert from_environment({}) == LogSettings()
    assert from_environment({LOG_SETTINGS: '{"log_warning": false}'}) == LogSettings(warning=False)


@pytest.mark.parametrize("text", ["verbose", "[1]"])
def test_an_environment_that_cannot_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r'expected a JSON object such as \{"log_verbose_level": 1\}'):
        from_environment({LOG_SETTINGS: text})


def test_settings_survive_their_json_form() -> None:
    settings = LogSettings(error=False, verbose_level=1, format="default")
    assert LogSettings().updated(settings.to_json()) == settings
