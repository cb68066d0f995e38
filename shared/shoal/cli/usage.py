"""The help of `shoal serve`, written from the table of options."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from shoal.cli.option import Option, Section, Status

_WIDTH = 110
_COLUMN = 34

INTRODUCTION = """\
usage: shoal serve --model-repository=<directory> [--name=value ...]

Serve the models of a Triton model repository. Options are tritonserver's, spelled --name=value or --name value;
a prefix that fits one option only will do.
"""


def usage(sections: Sequence[Section]) -> str:
    """The whole help text."""
    parts = [INTRODUCTION]
    for section in sections:
        parts.append(f"\n{section.title}:\n")
        parts += [_entry(option) for option in section.options]
    return "".join(parts)


def _entry(option: Option) -> str:
    head = f"  --{option.name}{_placeholder(option)}"
    lines = textwrap.wrap(_explanation(option), _WIDTH - _COLUMN)
    indent = " " * _COLUMN
    if len(head) < _COLUMN - 1:
        first = head.ljust(_COLUMN) + lines.pop(0)
        return "".join(f"{line}\n" for line in (first, *(indent + line for line in lines)))
    return "".join(f"{line}\n" for line in (head, *(indent + line for line in lines)))


def _placeholder(option: Option) -> str:
    metavar = option.kind.metavar
    if not option.kind.takes_value:
        return ""
    return f"={metavar}" if metavar.startswith("<") else f"=<{metavar}>"


def _explanation(option: Option) -> str:
    parts = [option.help]
    if option.repeatable:
        parts.append("may be repeated")
    if option.default not in (None, "") and option.kind.takes_value:
        default = str(option.default).lower() if isinstance(option.default, bool) else option.default
        parts.append(f"default {default}")
    text = "; ".join(parts)
    if option.status is Status.WORKS:
        return text
    word = "not yet" if option.status is Status.LATER else "no effect"
    return f"{text} ({word}: {option.lacks})"
