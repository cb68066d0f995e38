"""One URL with its methods, as an ASGI application for Starlette's router.

Method and errors are answered as Triton does: a JSON document, with the content type that Triton has set by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import orjson
from starlette.requests import Request

from shoal.core.errors import ShoalError
from shoal.gateway.http.asgi import JSON, TEXT, Receive, Scope, Send, error_body, send_all, send_error

#: Answers the body of a successful response, empty for a mere yes. Raises ShoalError.
Handler = Callable[[Request], Awaitable[bytes]]


class Resource:
    """`handlers` by method. `content_type` is that of successes and errors alike."""

    def __init__(self, handlers: Mapping[str, Handler], content_type: bytes = JSON) -> None:
        self._handlers = handlers
        self._content_type = content_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get(scope["method"])
        if handler is None:
            await send_all(send, 405, self._content_type, error_body("Method Not Allowed"))
            return
        try:
            body = await handler(Request(scope, receive))
        except ShoalError as error:
            await send_error(send, error, self._content_type)
            return
        await send_all(send, 200, self._content_type, body)


def json_body(document: object) -> bytes:
    return orjson.dumps(document)


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """What every URL that is none is answered with."""
    await send_all(send, 404, TEXT, error_body("Not Found"))


def model_of(request: Request) -> tuple[str, int | None]:
    """Name and version of a URL with `{name}` and perhaps `{version:int}`."""
    return request.path_params["name"], request.path_params.get("version")
