"""Reading the file with the API keys."""

from __future__ import annotations

from pathlib import Path

from shoal.core.api_keys import ApiKeys, parse_api_keys
from shoal.core.errors import InvalidArgument


def read_api_keys(path: Path) -> ApiKeys:
    """The keys of a file. Raises InvalidArgument naming the file when it cannot be read or is not well-formed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidArgument(f"API keys '{path}': cannot be read: {reason}") from None
    return parse_api_keys(text, f"API keys '{path}'")
