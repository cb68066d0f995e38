"""The trace settings of a start, from `--trace-config` and the deprecated options that it replaces."""

from __future__ import annotations

from shoal.cli.command_line import Given, UsageError
from shoal.core.errors import InvalidArgument
from shoal.telemetry.trace_settings import from_config

#: Deprecated option, and what `--trace-config` has in its place.
_REPLACED = {
    "trace-file": "triton,file",
    "trace-level": "level",
    "trace-rate": "rate",
    "trace-count": "count",
    "trace-log-frequency": "triton,log-frequency",
}


def trace_config(given: Given) -> tuple[str, ...]:
    """Everything as `--trace-config` says it. Raises UsageError for what it cannot say."""
    texts = list(given.texts("trace-config"))
    named = {text.partition("=")[0] for text in texts}
    for option, setting in _REPLACED.items():
        if setting not in named:
            texts += [f"{setting}={text}" for text in given.texts(option)]
    if any(level.lower() in ("off", "false") for level in given.texts("trace-level")):
        # As in Triton, only the deprecated option switches off what others have switched on.
        texts = [text for text in texts if not text.startswith("level=")]
    try:
        from_config(texts)
    except InvalidArgument as error:
        raise UsageError(error.message) from None
    return tuple(texts)


def trace_remarks(given: Given) -> list[str]:
    """One line for each deprecated option that `--trace-config` overrides."""
    named = {text.partition("=")[0] for text in given.texts("trace-config")}
    return [
        f"Warning: Overriding deprecated '--{option}' in favor of provided {setting} value in --trace-config!"
        for option, setting in _REPLACED.items()
        if given.is_given(option) and setting in named
    ]
