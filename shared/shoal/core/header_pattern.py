"""The pattern of headers that become request parameters: tritonserver's `--http-header-forward-pattern`.

Triton's patterns are RE2's, ours are of Python's `re`: what both know means the same in both. RE2 alone knows `\\z`,
`\\C`, `\\pN` and the flag `U`; `re` alone knows back references and looking around.
"""

from __future__ import annotations

import re

from shoal.core.errors import InvalidArgument

#: How a pattern says that case matters, which RE2 takes at its start and `re` does not.
_CASE_MATTERS = "(?-i)"


def compile_header_pattern(text: str) -> re.Pattern[str] | None:
    """The pattern, to be searched for in names; case does not matter unless it starts with `(?-i)`. None for an empty
    text. Raises InvalidArgument when it is no pattern."""
    if not text:
        return None
    pattern = text.removeprefix(_CASE_MATTERS)
    try:
        return re.compile(pattern, re.IGNORECASE if pattern == text else re.NOFLAG)
    except re.error as error:
        raise InvalidArgument(f"'{text}' is not a regular expression: {error}") from None
