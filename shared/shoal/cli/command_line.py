"""Reads a command line as getopt_long does: `--name=value`, `--name value`, and prefixes that fit one option only."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from shoal.cli.option import BadValue, Option, Status, Value


class UsageError(Exception):
    """A command line that cannot be followed; the text says what is wrong and what would be right."""


class Given(NamedTuple):
    """What a command line said: the values of each option that was given, in their order, and the rest by default."""

    options: Mapping[str, Option]
    values: Mapping[str, tuple[Value, ...]]

    def is_given(self, name: str) -> bool:
        return name in self.values

    def last(self, name: str) -> Value | None:
        """The value of an option: the last one given, or its default (None: unset)."""
        given = self.values.get(name)
        return given[-1] if given else self.options[name].default

    def text(self, name: str) -> str:
        value = self.last(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> int:
        value = self.last(name)
        assert isinstance(value, int), name
        return value

    def boolean(self, name: str) -> bool:
        return bool(self.last(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """All values of a repeatable option."""
        return tuple(str(value) for value in self.values.get(name, ()))


def parse(argv: Sequence[str], options: Mapping[str, Option]) -> Given:
    """Read `argv` against `options` (by name). Raises UsageError."""
    values: dict[str, list[Value]] = {}
    words = iter(argv)
    for word in words:
        if not word.startswith("--") or word == "--":
            raise UsageError(f"unexpected argument '{word}': every option is spelled --name=value")
        name, has_value, text = word.removeprefix("--").partition("=")
        option = _find(name, options)
        if not option.kind.takes_value:
            if has_value:
                raise UsageError(f"option '--{option.name}' doesn't allow an argument")
            text = "true"
        elif not has_value:
            following = next(words, None)
            if following is None:
                raise UsageError(f"option '--{option.name}' requires an argument")
            text = following
        values.setdefault(option.name, []).append(_value(option, text))
    return Given(options, {name: tuple(given) for name, given in values.items()})


def remarks(given: Given) -> list[str]:
    """One line for each given option that does not do what it says, or not yet."""
    lines = []
    for name, values in given.values.items():
        option = given.options[name]
        if option.status is Status.WORKS or all(value == option.already for value in values):
            continue
        when = "has no effect" if option.status is Status.NEVER else "does not work yet"
        lines.append(f"--{name} {when}: {option.lacks}")
    return lines


def _find(name: str, options: Mapping[str, Option]) -> Option:
    if name in options:
        return options[name]
    matches = [option for option in options if option.startswith(name)] if name else []
    if len(matches) == 1:
        return options[matches[0]]
    if matches:
        possible = " ".join(f"'--{match}'" for match in sorted(matches))
        raise UsageError(f"option '--{name}' is ambiguous; possibilities: {possible}")
    nearest = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    advice = f"; did you mean '--{nearest[0]}'?" if nearest else ""
    raise UsageError(f"unrecognized option '--{name}'{advice}")


def _value(option: Option, text: str) -> Value:
    try:
        return option.kind.parse(text)
    except BadValue as error:
        raise UsageError(f'Bad option: "--{option.name}".\n{error}') from None
