"""Log settings and trace settings, read by GET and changed by POST, which also answers with what holds then."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from shoal.gateway.gateway import Gateway
from shoal.gateway.http.resource import Resource, json_body
from shoal.gateway.http.settings_changes import read_log_changes, read_trace_changes


def settings_routes(gateway: Gateway) -> list[Route]:
    async def read_log(request: Request) -> bytes:
        return json_body(await gateway.change_log_settings({}))

    async def change_log(request: Request) -> bytes:
        return json_body(await gateway.change_log_settings(read_log_changes(await request.body())))

    async def read_trace(request: Request) -> bytes:
        return json_body(await gateway.change_trace_settings(_model(request), {}))

    async def change_trace(request: Request) -> bytes:
        changes = read_trace_changes(await request.body())
        return json_body(await gateway.change_trace_settings(_model(request), changes))

    trace = Resource({"GET": read_trace, "POST": change_trace})
    return [
        Route("/v2/logging", Resource({"GET": read_log, "POST": change_log})),
        Route("/v2/trace/setting", trace),
        Route("/v2/models/{name}/trace/setting", trace),
    ]


def _model(request: Request) -> str | None:
    return request.path_params.get("name")
