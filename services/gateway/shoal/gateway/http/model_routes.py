"""`/v2`, and of a model its metadata, configuration and statistics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from shoal.gateway.gateway import Gateway
from shoal.gateway.http.resource import Resource, json_body, model_of


def model_routes(gateway: Gateway) -> list[Route]:
    """The statistics of all models come first: a model that is called `stats` has no metadata URL."""
    server_metadata = json_body(gateway.server_metadata())

    async def server(request: Request) -> bytes:
        return server_metadata

    async def all_statistics(request: Request) -> bytes:
        return json_body({"model_stats": await gateway.statistics(None, None)})

    async def statistics(request: Request) -> bytes:
        return json_body({"model_stats": await gateway.statistics(*model_of(request))})

    async def metadata(request: Request) -> bytes:
        name, version = model_of(request)
        await gateway.freshen(name, version)
        return json_body(gateway.metadata(name, version))

    async def config(request: Request) -> bytes:
        name, version = model_of(request)
        await gateway.freshen(name, version)
        return json_body(gateway.config(name, version))

    routes = [Route("/v2", Resource({"GET": server})), Route("/v2/models/stats", Resource({"GET": all_statistics}))]
    for tail, handler in (("", metadata), ("/config", config), ("/stats", statistics)):
        resource = Resource({"GET": handler})
        routes.append(Route("/v2/models/{name}" + tail, resource))
        routes.append(Route("/v2/models/{name}/versions/{version:int}" + tail, resource))
    return routes
