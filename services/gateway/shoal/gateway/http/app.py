"""The HTTP protocol as one ASGI application: inference first, everything else through Starlette's router.

Paths are matched as they came: no percent-decoding, no tolerance for slashes, no redirects, as in Triton.
"""

from __future__ import annotations

import re

from starlette.requests import ClientDisconnect
from starlette.routing import Route, Router

from shoal.core.api_keys import Scope as KeyScope
from shoal.core.errors import InternalError
from shoal.gateway.access.caller import work_for
from shoal.gateway.access.operations import INFERENCE, Operation, http_operation
from shoal.gateway.errors import Refusal
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.asgi import JSON, TEXT, Receive, Scope, Send, error_body, send_all, send_error
from shoal.gateway.http.counted_body import CountedBody
from shoal.gateway.http.disconnects import Disconnects
from shoal.gateway.http.generate import generate_routes
from shoal.gateway.http.health import health_routes
from shoal.gateway.http.infer import InferRoute
from shoal.gateway.http.model_routes import model_routes
from shoal.gateway.http.region_routes import region_routes
from shoal.gateway.http.repository_routes import repository_routes
from shoal.gateway.http.resource import not_found
from shoal.gateway.http.settings_routes import settings_routes
from shoal.gateway.http.unread_body import headers_for_unread
from shoal.telemetry.logs import get_logger

_INFER = re.compile(rb"/v2/models/([^/]+)(?:/versions/([0-9]+))?/infer")

#: Longer than any path that could name something.
_PATH_LIMIT_NBYTES = 4096

_log = get_logger("gateway")


class HttpApp:
    """Serves one gateway. `close` when the server has stopped."""

    def __init__(self, gateway: Gateway, max_input_nbytes: int) -> None:
        self._access = gateway.access
        self._admission = gateway.admission
        self._max_input_nbytes = max_input_nbytes
        self._disconnects = Disconnects()
        self._infer = InferRoute(gateway, self._disconnects, max_input_nbytes)
        self._router = Router(
            [
                *health_routes(gateway),
                *model_routes(gateway),
                *repository_routes(gateway),
                *generate_routes(gateway, self._disconnects),
                *region_routes(gateway),
                *settings_routes(gateway),
            ],
            redirect_slashes=False,
            default=not_found,
        )

    @property
    def paths(self) -> list[str]:
        """The paths of all routes but inference, in Starlette's form."""
        return [route.path for route in self._router.routes if isinstance(route, Route)]

    def close(self) -> None:
        self._disconnects.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: bytes = scope["raw_path"]
        if len(path) > _PATH_LIMIT_NBYTES:
            await send_all(send, 414, TEXT, error_body("URI Too Long"))
            return
        match = _INFER.fullmatch(path)
        operation = INFERENCE if match is not None else http_operation(scope["method"], path)
        if operation is None:
            await not_found(scope, receive, send)
            return
        try:
            if self._access.is_open:
                await self._answer(match, scope, receive, send)
            else:
                await self._let_in(operation, match, scope, receive, send)
        except Exception:  # whatever it was, the client gets an answer and the other requests go on
            _log.exception("request failed", method=scope["method"])
            await send_error(send, InternalError("internal error of the gateway; its log has the details"), JSON)

    async def _let_in(
        self, operation: Operation, match: re.Match[bytes] | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request if its client may send it."""
        headers = dict(scope["headers"])
        try:
            caller = self._access.admit(operation, headers)
            work_for(caller)
            # Requests for inference are counted where a stream may have many of them: by the admission.
            if caller is None or operation.scope is KeyScope.INFER:
                await self._answer(match, scope, receive, send)
            else:
                with caller.request():
                    await self._answer(match, scope, receive, send)
        except Refusal as refusal:
            await send_error(send, refusal, TEXT, headers_for_unread(headers))

    async def _answer(self, match: re.Match[bytes] | None, scope: Scope, receive: Receive, send: Send) -> None:
        if match is not None:
            name, version = match.groups()
            await self._infer(
                scope, receive, send, name.decode(errors="replace"), None if version is None else int(version)
            )
        else:
            await self._route({**scope, "path": scope["raw_path"].decode("latin-1")}, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = CountedBody(receive, self._admission, self._max_input_nbytes)
        try:
            await self._router(scope, body.receive, send)
        except ClientDisconnect:  # in the middle of its request: there is nobody to answer
            pass
        finally:
            body.leave()
