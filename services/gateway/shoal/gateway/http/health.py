"""`/v2/health/live`, `/v2/health/ready` and `/v2/models/NAME[/versions/VER]/ready`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from shoal.core.errors import InvalidArgument, Unavailable
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.asgi import TEXT, Receive, Scope, Send, send_all
from shoal.gateway.http.resource import Resource, model_of

_YES = b""


class _Probe(Resource):
    """A probe that says no with an empty body, which no error document can."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_plainly(status: int) -> None:
            await send_all(send, status, TEXT, _YES)

        try:
            await super().__call__(scope, receive, send)
        except _No:
            await send_plainly(400)


class _No(Exception):
    """The answer of a probe."""


def health_routes(gateway: Gateway) -> list[Route]:
    async def live(request: Request) -> bytes:
        if not gateway.server_live():
            raise _No
        return _YES

    async def ready(request: Request) -> bytes:
        if gateway.is_draining:
            raise Unavailable("Server exiting")
        if not gateway.server_ready():
            raise _No
        return _YES

    async def model_ready(request: Request) -> bytes:
        name, version = model_of(request)
        await gateway.freshen(name, version)
        if not gateway.model_ready(name, version):
            raise InvalidArgument("Model version not ready")
        return _YES

    model = Resource({"GET": model_ready}, TEXT)
    return [
        Route("/v2/health/live", _Probe({"GET": live}, TEXT)),
        Route("/v2/health/ready", _Probe({"GET": ready}, TEXT)),
        Route("/v2/models/{name}/ready", model),
        Route("/v2/models/{name}/versions/{version:int}/ready", model),
    ]
