"""Parts of the protocol that this release does not have: they answer so, instead of "Not Found"."""

from __future__ import annotations

from starlette.routing import Route

from shoal.gateway.http.resource import not_available

_REGION_KINDS = ("system", "cuda")


def unavailable_routes() -> list[Route]:
    trace = not_available("changing and reading trace settings", "GET", "POST")
    generate = not_available("the generate extension", "POST")
    routes = [
        Route("/v2/logging", not_available("changing and reading log settings", "GET", "POST")),
        Route("/v2/trace/setting", trace),
        Route("/v2/models/{name}/trace/setting", trace),
    ]
    for tail in ("generate", "generate_stream"):
        routes.append(Route("/v2/models/{name}/" + tail, generate))
        routes.append(Route("/v2/models/{name}/versions/{version:int}/" + tail, generate))
    for kind in _REGION_KINDS:
        routes += _region_routes(kind)
    return routes


def _region_routes(kind: str) -> list[Route]:
    base = f"/v2/{kind}sharedmemory"
    status = not_available(f"the {kind} shared memory extension", "GET")
    change = not_available(f"the {kind} shared memory extension", "POST")
    return [
        Route(base + "/status", status),
        Route(base + "/region/{region}/status", status),
        Route(base + "/region/{region}/register", change),
        Route(base + "/region/{region}/unregister", change),
        Route(base + "/unregister", change),
    ]
