"""A model version as gRPC clients write it: a text, empty for the highest ready version."""

from __future__ import annotations

import re

from shoal.core.errors import InvalidArgument

#: What C's `strtol` reads from the start of a text; Triton ignores what follows the number.
_NUMBER = re.compile(r"\s*([+-]?[0-9]{1,64})", re.ASCII)
_INT64_MAX = 2**63 - 1


def parse_version(text: str) -> int | None:
    """The version that a request names, None for the highest ready one.

    Raises InvalidArgument in Triton's words when the text does not start with an integer above 0.
    """
    if not text:
        return None
    number = _NUMBER.match(text)
    if number is None or abs(int(number[1])) > _INT64_MAX:
        raise InvalidArgument(
            f"failed to get model version from specified version string '{text}' (details: stol), "
            "version should be an integral value > 0"
        )
    version = int(number[1])
    if version <= 0:
        raise InvalidArgument(f"invalid model version specified '{text}' , version should be an integral value > 0")
    return version
