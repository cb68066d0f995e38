"""Errors fit to travel: a model's exceptions may hold texts of any size, and strings that are no text at all."""

from __future__ import annotations

from shoal.core.errors import ShoalError

#: Of one error's text: it is repeated in heartbeats and goes into key-value entries.
LIMIT_BYTES = 16 * 1024


def wire_error(error: ShoalError) -> tuple[int, str]:
    """As `error.to_wire()`, with a text that is valid UTF-8 (what is not is escaped) and of bounded size."""
    code, message = error.to_wire()
    encoded = message.encode("utf-8", "backslashreplace")
    if len(encoded) <= LIMIT_BYTES:
        return code, encoded.decode()
    return code, encoded[:LIMIT_BYTES].decode("utf-8", "ignore") + " [...]"
