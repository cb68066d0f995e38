"""How to answer a request whose body was not read."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.gateway.http.asgi import Headers

#: A body up to this size is cheaper to receive and drop than a new connection is to make.
_DROP_LIMIT_NBYTES = 64 * 1024

CLOSE: Headers = [(b"connection", b"close")]


def headers_for_unread(request: Mapping[bytes, bytes]) -> Headers:
    """Headers of the response, by those of the request: with a large body, one of unknown size, or one that the client
    may not send at all (`Expect`), the connection is of no further use."""
    if b"transfer-encoding" in request or b"expect" in request:
        return CLOSE
    declared = request.get(b"content-length", b"0")
    return [] if declared.isdigit() and int(declared) <= _DROP_LIMIT_NBYTES else CLOSE
