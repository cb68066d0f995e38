"""The headers of an inference request that mean something to us."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from shoal.core.errors import InvalidArgument

#: The longest prefix that C's `atoi` would take; everything else counts as 0.
_LEADING_INTEGER = re.compile(r"\s*([+-]?[0-9]+)")
#: Of so few digits that the deadline fits into 64 bits wherever it goes, and into 31,000 years.
_MILLISECONDS = re.compile(r"[0-9]{1,15}")
_NAMES = {
    b"content-length": "content_length",
    b"content-encoding": "content_encoding",
    b"accept-encoding": "accept_encoding",
    b"inference-header-content-length": "header_length",
    b"request-timeout-ms": "timeout_ms",
    b"traceparent": "traceparent",
}
#: Headers that may come in several lines, to be read as one.
_LISTS = frozenset({"content_encoding", "accept_encoding"})


class InferHeaders(NamedTuple):
    """Values as they came; None and "" for absent ones."""

    content_length: str = ""
    content_encoding: str = ""
    accept_encoding: str = ""
    header_length: str | None = None
    timeout_ms: str = ""
    traceparent: str = ""

    @property
    def content_nbytes(self) -> int:
        """The declared size of the body, 0 for a chunked one."""
        return int(self.content_length) if self.content_length.isdigit() else 0

    def json_nbytes(self, body_nbytes: int) -> int:
        """How much of the body is JSON; 0 says that it is bare tensor bytes. Raises InvalidArgument when it is more
        than the body has."""
        if self.header_length is None:
            return body_nbytes
        match = _LEADING_INTEGER.match(self.header_length)
        try:
            length = int(match[1]) if match else 0
        except ValueError:  # more digits than Python is willing to read
            length = -1
        if not 0 <= length <= body_nbytes:
            raise InvalidArgument(
                f"inference header size should be in range (0, {body_nbytes}), got: {self.header_length}"
            )
        return length

    def deadline_s(self, now: float) -> float | None:
        """The time until which the client waits, by the clock that `now` was read from; None without a limit. Raises
        InvalidArgument for a header that is no positive number of milliseconds."""
        if not self.timeout_ms:
            return None
        if not _MILLISECONDS.fullmatch(self.timeout_ms) or int(self.timeout_ms) == 0:
            raise InvalidArgument(
                f"Unable to parse Request-Timeout-Ms, got: {self.timeout_ms}; expected a whole number of milliseconds "
                "above 0, of 15 digits at most"
            )
        return now + int(self.timeout_ms) / 1e3


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> InferHeaders:
    """Pick from ASGI's headers, whose names are lower-case."""
    found: dict[str, str] = {}
    for name, value in headers:
        field = _NAMES.get(name)
        if field is not None:
            text = value.decode("latin-1")
            found[field] = f"{found[field]}, {text}" if field in _LISTS and field in found else text
    return InferHeaders(**found)
