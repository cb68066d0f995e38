"""The part of ASGI that is spoken here: types, and answers that are sent in one go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from shoal.core.errors import ShoalError
from shoal.gateway.errors import Refusal

# ASGI's events are open dictionaries by its specification.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = b"application/json"
TEXT = b"text/plain"
BINARY = b"application/octet-stream"


def error_body(text: str) -> bytes:
    """Triton's error document."""
    return orjson.dumps({"error": text})


async def send_all(send: Send, status: int, content_type: bytes, body: bytes, headers: Headers | None = None) -> None:
    """Send a whole response with its length."""
    fixed = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fixed + headers if headers else fixed})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ShoalError, content_type: bytes, headers: Headers | None = None) -> None:
    """Send an error with the status of its class, and the headers that tell how to go on."""
    more = headers or []
    if isinstance(error, Refusal):
        more = [*more, *error.http_fields]
    await send_all(send, error.http_status, content_type, error_body(error.message), more)
