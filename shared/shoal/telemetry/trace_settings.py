"""Triton's trace settings: what a start says, and what updates over the protocols change of it. Pure.

A model's settings are the global ones with its own changes over them, and the global ones are those of the start with
changes over them; a change that is taken back lets the value below it through again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shoal.core.errors import InvalidArgument

LEVELS = ("TIMESTAMPS", "TENSORS")
OFF = "OFF"

#: What updates may change, by the protocol's keys, and the field that it is.
FIELDS = {
    "trace_level": "levels",
    "trace_rate": "rate",
    "trace_count": "count",
    "log_frequency": "log_frequency",
}
_UNSIGNED = (0, 2**32 - 1)
_BOUNDS = {"trace_rate": _UNSIGNED, "trace_count": (-1, 2**31 - 1), "log_frequency": _UNSIGNED}
#: As C's conversions do: what follows the digits does not count.
_LEADING_NUMBER = re.compile(r"\s*([+-]?[0-9]+)")
#: So that no text of digits takes quadratic time.
_DIGITS_LIMIT = 20

#: Values by the protocol's keys; None takes a change back.
Changes = Mapping[str, Any]

TRITON, OPENTELEMETRY = "triton", "opentelemetry"


@dataclass(frozen=True)
class TraceSettings:
    """`levels` empty: nothing is traced. One of `rate` requests is, `count` of them at most (-1: no limit). With mode
    triton `log_frequency` traces go to one `file` (0: all of them). `exporter`: settings of mode opentelemetry."""

    levels: tuple[str, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0
    file: str = ""
    mode: str = TRITON
    exporter: tuple[tuple[str, str], ...] = ()

    def updated(self, changes: Changes) -> TraceSettings:
        """With these values over ours; those of None say nothing."""
        fields = {FIELDS[key]: value for key, value in changes.items() if key in FIELDS and value is not None}
        if "levels" in fields:
            fields["levels"] = tuple(fields["levels"])
        return replace(self, **fields)

    def check(self) -> None:
        """Raise InvalidArgument, in Triton's words, when tracing by these settings is on and impossible."""
        reason = None
        if self.levels and self.mode == TRITON:
            if self.rate == 0:
                reason = "sample rate must be non-zero"
            elif not self.file:
                reason = "trace file name is not given"
        if reason is not None:
            raise InvalidArgument(f"Attempting to set invalid trace setting :{reason}")

    def to_json(self) -> dict[str, str | list[str]]:
        """The protocol's form: every value is a text, that of the level a list."""
        shown: dict[str, str | list[str]] = {
            "trace_level": list(self.levels) or [OFF],
            "trace_rate": str(self.rate),
            "trace_count": str(self.count),
        }
        if self.mode == TRITON:
            shown |= {"log_frequency": str(self.log_frequency), "trace_file": self.file}
        return shown | {"trace_mode": self.mode} | dict(self.exporter)


def levels_from(names: Sequence[str]) -> list[str] | None:
    """The levels of an update, in Triton's order; None when it names none that there is, and so changes nothing.

    Raises InvalidArgument for OFF beside others.
    """
    if OFF in names:
        if len(names) > 1:
            raise InvalidArgument("Expect only one trace level 'OFF' is specified")
        return []
    return [level for level in LEVELS if level in names] or None


def number_from(key: str, text: str) -> int:
    """The value of an update. Raises InvalidArgument in Triton's words; also where Triton takes a negative number for
    one of four billion."""
    match = _LEADING_NUMBER.match(text)
    if match is None:
        raise InvalidArgument(f"Unable to parse '{key}', got: {text}")
    low, high = _BOUNDS[key]
    number = int(match[1][:_DIGITS_LIMIT])
    if key == "trace_count" and number < low:
        raise InvalidArgument(f"Unable to parse '{key}'. Expecting value >= {low}, got:{text}")
    if not low <= number <= high:
        raise InvalidArgument(f"Unable to parse '{key}', value is out of range [ {low}, {high} ], got: {text}")
    return number


def merged(before: Changes, changes: Changes) -> dict[str, Any]:
    """Changes over earlier changes; what is taken back is gone."""
    return {key: value for key, value in {**before, **changes}.items() if value is not None}


def from_config(texts: Iterable[str]) -> TraceSettings:
    """The settings of a start, from `--trace-config` options: `<setting>=<value>` for every mode,
    `<mode>,<setting>=<value>` for one. Levels add up; of any other setting the last value counts, the exporter's
    `resource` excepted. Raises InvalidArgument in Triton's words."""
    settings = TraceSettings()
    files: dict[str, Any] = {}
    exporter: list[tuple[str, str]] = []
    for text in texts:
        name, _, value = text.partition("=")
        mode, comma, setting = name.rpartition(",")
        if not comma:
            settings = _with_setting(settings, text, setting, value)
        elif mode == OPENTELEMETRY:
            exporter.append((setting, value))
        elif mode != TRITON:
            raise InvalidArgument(f"invalid value for trace mode option: {mode}")
        elif setting == "file":
            files["file"] = value
        elif setting == "log-frequency":
            files["log_frequency"] = _option_number(text, value, 0)
    if settings.mode == OPENTELEMETRY:
        return replace(settings, exporter=tuple(exporter))
    return replace(settings, **files)


def _with_setting(settings: TraceSettings, text: str, setting: str, value: str) -> TraceSettings:
    if setting == "level":
        given = {*settings.levels, *_option_levels(value)}
        return replace(settings, levels=tuple(level for level in LEVELS if level in given))
    if setting == "mode":
        if value not in (TRITON, OPENTELEMETRY):
            raise InvalidArgument(f"invalid value for trace mode option: {value}")
        return replace(settings, mode=value)
    if setting == "rate":
        return replace(settings, rate=_option_number(text, value, 0))
    if setting == "count":
        return replace(settings, count=_option_number(text, value, -1))
    raise InvalidArgument(f"--trace-config option format is '<mode>,<setting>=<value>'. Got {text}")


def _option_levels(value: str) -> tuple[str, ...]:
    word = value.lower()
    if word in ("false", "off"):
        return ()
    if word in ("true", "on", "min", "max", "timestamps"):
        return ("TIMESTAMPS",)
    if word == "tensors":
        return ("TENSORS",)
    raise InvalidArgument(f"invalid value for trace level option: {value}")


def _option_number(text: str, value: str, low: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", value) or not low <= int(value) < 2**31:
        raise InvalidArgument(f"--trace-config={text}: expected an integer of {low} or more. Got {value}")
    return int(value)
