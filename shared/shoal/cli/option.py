"""What an option of the command line is: a row of data, and the kinds of values with Triton's words for bad ones."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from shoal.core.errors import InvalidArgument
from shoal.core.header_pattern import compile_header_pattern
from shoal.core.restricted_api import Feature, parse_restrictions
from shoal.runtime.arguments import BOOLEANS

Value = str | int | float | bool

INT_MAX = 2**31 - 1


class BadValue(Exception):
    """A value that its option cannot take; the text says why, in Triton's words."""


class Kind(NamedTuple):
    """A kind of values: what stands for it in the help, and how a text becomes a value (BadValue when it cannot).
    `takes_value` is False for a flag, whose presence is its value."""

    metavar: str
    parse: Callable[[str], Value]
    takes_value: bool = True


class Status(Enum):
    """How much of an option works: all of it, nothing or a part yet, or nothing ever."""

    WORKS = "works"
    LATER = "later"
    NEVER = "never"


class Option(NamedTuple):
    """One option. `default` None means unset. `lacks` says for LATER what it does not do yet, and for NEVER why;
    `already` is the value that describes what happens anyway, so that it needs no remark."""

    name: str
    kind: Kind
    default: Value | None
    help: str
    repeatable: bool = False
    status: Status = Status.WORKS
    lacks: str = ""
    already: Value | None = None


class Section(NamedTuple):
    """Options under a common title, in the order in which the help lists them."""

    title: str
    options: tuple[Option, ...]


def works(name: str, kind: Kind, default: Value | None, text: str, *, repeatable: bool = False) -> Option:
    """A row for an option that does all it says."""
    return Option(name, kind, default, text, repeatable)


def later(
    name: str,
    kind: Kind,
    default: Value | None,
    text: str,
    lacks: str,
    *,
    repeatable: bool = False,
    already: Value | None = None,
) -> Option:
    """A row for an option that is accepted and does not do everything yet: `lacks` says what."""
    return Option(name, kind, default, text, repeatable, Status.LATER, lacks, already)


def never(
    name: str,
    kind: Kind,
    default: Value | None,
    text: str,
    why: str,
    *,
    repeatable: bool = False,
    already: Value | None = None,
) -> Option:
    """A row for an option that is accepted and will never do anything: `why` says the reason."""
    return Option(name, kind, default, text, repeatable, Status.NEVER, why, already)


def _boolean(text: str) -> bool:
    try:
        return BOOLEANS[text.lower()]
    except KeyError:
        raise BadValue(f"invalid value for bool option: {text}") from None


def _number(text: str) -> int:
    if not re.fullmatch(r"\s*[+-]?[0-9]+", text):
        raise BadValue(f"Invalid option value. Got {text}")
    return int(text)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValue(f"Invalid option value. Got {text}") from None


def integer(low: int = -INT_MAX - 1, high: int = INT_MAX, metavar: str = "integer") -> Kind:
    """Whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        number = _number(text)
        if not low <= number <= high:
            raise BadValue(f"Provided option value is out of bound. Got {text}")
        return number

    return Kind(metavar, parse)


def choice(option: str, *allowed: str) -> Kind:
    """One of the words, in any case; the value is the word as it stands in `allowed`."""

    def parse(text: str) -> str:
        for word in allowed:
            if text.lower() == word.lower():
                return word
        raise BadValue(f"invalid argument for --{option}")

    return Kind("|".join(allowed), parse)


def pattern(option: str, form: str, expression: str) -> Kind:
    """A text of the given form, which `expression` must match whole."""

    def parse(text: str) -> str:
        if not re.fullmatch(expression, text, re.DOTALL):
            raise BadValue(f"--{option} option format is '{form}'. Got {text}")
        return text

    return Kind(form, parse)


def between(option: str, low: int, high: int) -> Kind:
    """Whole numbers in a range, with Triton's text for the ones outside."""

    def parse(text: str) -> int:
        number = _number(text)
        if not low <= number <= high:
            name = option.replace("-", "_")
            raise BadValue(f"invalid argument for --{name}. Must be in the range {low} to {high}.")
        return number

    return Kind("integer", parse)


def restriction(feature: Feature) -> Kind:
    """Categories of the protocol and the header that they ask for, refused in Triton's words."""

    def parse(text: str) -> str:
        try:
            parse_restrictions([text], feature)
        except InvalidArgument as error:
            raise BadValue(error.message) from None
        return text

    return Kind("<categories>:<key>=<value>", parse)


def _header_pattern(text: str) -> str:
    try:
        compile_header_pattern(text)
    except InvalidArgument as error:
        raise BadValue(error.message) from None
    return text


def _seconds(text: str) -> float:
    seconds = _float(text)
    if not 0 <= seconds < math.inf:
        raise BadValue(f"Provided option value is out of bound. Got {text}")
    return seconds


def _verbosity(text: str) -> int:
    try:
        return int(_boolean(text))
    except BadValue:
        return max(0, _number(text))


STRING = Kind("string", str)
PATH = Kind("path", str)
HEADER_PATTERN = Kind("pattern", _header_pattern)
BOOL = Kind("boolean", _boolean)
FLOAT = Kind("float", _float)
SECONDS = Kind("seconds", _seconds)
FLAG = Kind("", _boolean, takes_value=False)
INTEGER = integer()
NATURAL = integer(low=0)
#: For numbers of bytes, which pass 2 GiB.
NATURAL64 = integer(low=0, high=2**63 - 1)
POSITIVE = integer(low=1)
PORT = integer(0, 65535)
VERBOSITY = Kind("integer", _verbosity)
