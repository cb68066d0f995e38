from __future__ import annotations

import pytest

from shoal.cli.command_line import Given, UsageError, parse
from shoal.cli.option_table import OPTIONS
from shoal.cli.trace_options import trace_config, trace_remarks
from shoal.telemetry.trace_settings import TraceSettings, from_config


def given(*argv: str) -> Given:
    return parse(argv, OPTIONS)


def test_settings_of_all_modes_are_handed_on_as_they_are() -> None:
    texts = ("rate=5", "triton,file=/tmp/trace", "level=TIMESTAMPS")
    assert trace_config(given(*(f"--trace-config={text}" for text in texts))) == texts


def test_deprecated_options_say_the_same() -> None:
    argv = ["--trace-file=t", "--trace-level=MAX", "--trace-level=tensors", "--trace-rate=5", "--trace-count=-1"]
    assert from_config(trace_config(given(*argv, "--trace-log-frequency=2"))) == TraceSettings(
        levels=("TIMESTAMPS", "TENSORS"), rate=5, count=-1, log_frequency=2, file="t"
    )


def test_trace_config_overrides_a_deprecated_option_with_a_remark() -> None:
    line = given("--trace-rate=5", "--trace-count=3", "--trace-config=rate=7")
    assert from_config(trace_config(line)) == TraceSettings(rate=7, count=3)
    assert trace_remarks(line) == [
        "Warning: Overriding deprecated '--trace-rate' in favor of provided rate value in --trace-config!"
    ]


@pytest.mark.parametrize(("off", "levels"), [("--trace-level=OFF", ()), ("--trace-config=level=OFF", ("TIMESTAMPS",))])
def test_only_the_deprecated_option_switches_everything_off(off: str, levels: tuple[str, ...]) -> None:
    line = given(off, "--trace-config=level=TIMESTAMPS")
    assert from_config(trace_config(line)).levels == levels


def test_what_cannot_be_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="invalid value for trace level option: loud"):
        trace_config(given("--trace-level=loud"))
