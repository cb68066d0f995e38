"""Values of command line options, as `type=` of argparse takes them: spelled and refused as tritonserver does."""

from __future__ import annotations

import argparse

#: What a boolean option may be given, in any case.
BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def boolean(text: str) -> bool:
    """A spelling of `BOOLEANS` in any case. Raises ArgumentTypeError for anything else."""
    try:
        return BOOLEANS[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"invalid value for bool option: {text}") from None


def positive(text: str) -> int:
    """A whole number of 1 or more. Raises ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of 1 or more. Got {text}")
    return int(text)
