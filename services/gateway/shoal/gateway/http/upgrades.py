"""Requests that offer to go on in another protocol are served in this one.

Java's HTTP client offers HTTP/2 with its first request, body and all; a server may ignore that (RFC 9110, 7.8). The
parser does not: it takes such a request to be complete after its head. So it is shown a second head, without the offer,
that declares the body, and then what followed the first.
"""

from __future__ import annotations

from collections.abc import Iterable

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LENGTHS = (b"content-length", b"transfer-encoding")


class UpgradeIgnoringProtocol(HttpToolsProtocol):
    """One connection."""

    #: The second head for the request that is being read; empty where none is needed.
    _second_head = b""
    #: Whether that is being parsed, or the body after it.
    _is_repeated = False

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def on_headers_complete(self) -> None:
        if self._is_repeated:
            return
        if self.parser.should_upgrade():
            self._second_head = _declaration(self.headers)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self._second_head and not self._is_repeated:
            return
        self._second_head, self._is_repeated = b"", False
        super().on_message_complete()

    def _feed(self, data: bytes) -> bytes:
        """Parse; returns what is to be parsed next. Raises HttpParserError."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._is_repeated = bool(self._second_head)
            return self._second_head + data[offer.args[0] :]
        return b""


def _declaration(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lengths = [b"%s: %s\r\n" % header for header in headers if header[0] in _LENGTHS]
    return b"".join((b"POST / HTTP/1.1\r\n", *lengths, b"\r\n")) if lengths else b""
