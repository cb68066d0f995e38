"""`/v2/repository`: the index, and loading and unloading on request."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from shoal.core.errors import InvalidArgument, Unsupported
from shoal.gateway.gateway import Gateway
from shoal.gateway.http import json_text
from shoal.gateway.http.json_access import has_member
from shoal.gateway.http.repository_control import read_load, read_unload
from shoal.gateway.http.resource import Resource, json_body

_DONE = b""


def repository_routes(gateway: Gateway) -> list[Route]:
    """A repository's name in the URL is ignored by the index, as Triton does."""

    async def index(request: Request) -> bytes:
        body = await request.body()
        document = json_text.parse(body) if body else {}
        ready = document["ready"] if has_member(document, "ready") else False
        if not isinstance(ready, bool):
            raise InvalidArgument("Invalid value for 'ready': expected a boolean")
        return json_body(gateway.index(ready))

    async def load(request: Request) -> bytes:
        await gateway.load(request.path_params["name"], read_load(await request.body()))
        return _DONE

    async def unload(request: Request) -> bytes:
        await gateway.unload(request.path_params["name"], read_unload(await request.body()))
        return _DONE

    async def control_by_repository(request: Request) -> bytes:
        raise Unsupported("'repository_name' specification is not supported")

    index_resource = Resource({"POST": index})
    by_repository = Resource({"POST": control_by_repository})
    return [
        Route("/v2/repository/index", index_resource),
        Route("/v2/repository/models/{name}/load", Resource({"POST": load})),
        Route("/v2/repository/models/{name}/unload", Resource({"POST": unload})),
        Route("/v2/repository/{repository}/index", index_resource),
        Route("/v2/repository/{repository}/models/{name}/load", by_repository),
        Route("/v2/repository/{repository}/models/{name}/unload", by_repository),
    ]
