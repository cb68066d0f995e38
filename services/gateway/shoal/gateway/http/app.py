"""The HTTP protocol as one ASGI application: inference first, everything else through Starlette's router.

Paths are matched as they came: no percent-decoding, no tolerance for slashes, no redirects, as in Triton.
"""

from __future__ import annotations

import re

from starlette.routing import Router

from shoal.core.errors import InternalError
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.asgi import JSON, TEXT, Receive, Scope, Send, error_body, send_all, send_error
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.health import health_routes
from shoal.gateway.http.infer import InferRoute
from shoal.gateway.http.model_routes import model_routes
from shoal.gateway.http.repository_routes import repository_routes
from shoal.gateway.http.resource import not_found
from shoal.gateway.http.unavailable_routes import unavailable_routes
from shoal.telemetry.logs import get_logger

_INFER = re.compile(rb"/v2/models/([^/]+)(?:/versions/([0-9]+))?/infer")

#: Longer than any path that could name something.
_PATH_LIMIT_NBYTES = 4096

_log = get_logger("gateway")


class HttpApp:
    """Serves one gateway. `close` when the server has stopped."""

    def __init__(self, gateway: Gateway, max_input_nbytes: int) -> None:
        self._disconnects = Disconnects()
        self._infer = InferRoute(gateway, self._disconnects, max_input_nbytes)
        self._router = Router(
            [*health_routes(gateway), *model_routes(gateway), *repository_routes(gateway), *unavailable_routes()],
            redirect_slashes=False,
            default=not_found,
        )

    def close(self) -> None:
        self._disconnects.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: bytes = scope["raw_path"]
        if len(path) > _PATH_LIMIT_NBYTES:
            await send_all(send, 414, TEXT, error_body("URI Too Long"))
            return
        match = _INFER.fullmatch(path)
        try:
            if match is not None:
                name, version = match.groups()
                await self._infer(scope, receive, send, name.decode(), None if version is None else int(version))
            else:
                await self._router({**scope, "path": path.decode("latin-1")}, receive, send)
        except Exception:  # whatever it was, the client gets an answer and the other requests go on
            _log.exception("request failed", method=scope["method"])
            await send_error(send, InternalError("internal error of the gateway; its log has the details"), JSON)
