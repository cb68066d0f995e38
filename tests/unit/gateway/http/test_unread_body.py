from __future__ import annotations

import pytest

from shoal.gateway.http.unread_body import CLOSE, headers_for_unread


@pytest.mark.parametrize("request_headers", [{}, {b"content-length": b"0"}, {b"content-length": b"65536"}])
def test_a_small_body_is_dropped_and_the_connection_goes_on(request_headers: dict[bytes, bytes]) -> None:
    assert headers_for_unread(request_headers) == []


@pytest.mark.parametrize(
    "request_headers",
    [
        {b"content-length": b"65537"},
        {b"content-length": b"many"},
        {b"transfer-encoding": b"chunked"},
        {b"content-length": b"5", b"expect": b"100-continue"},
    ],
)
def test_the_connection_ends_with_any_other(request_headers: dict[bytes, bytes]) -> None:
    assert headers_for_unread(request_headers) == CLOSE
