"""`/v2/systemsharedmemory` and `/v2/cudasharedmemory`: the status of clients' regions, registering and unregistering.

Order and words of the errors are Triton's, from its HTTP front end.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from shoal.core.errors import InternalError, InvalidArgument
from shoal.gateway.gateway import Gateway
from shoal.gateway.http import json_text
from shoal.gateway.http.json_access import as_text, as_unsigned, has_member
from shoal.gateway.http.resource import Resource, json_body
from shoal.gateway.region_entry import Kind, RegionEntry
from shoal.memory.cuda_region import HANDLE_NBYTES

_Register = Callable[[str, Any], Awaitable[None]]


def region_routes(gateway: Gateway) -> list[Route]:
    regions = gateway.regions

    async def register_system(name: str, document: Any) -> None:
        key = as_text(_field(document, "key"), "key")
        offset = as_unsigned(document["offset"], "offset") if has_member(document, "offset") else 0
        await regions.register_system(name, key, offset, as_unsigned(_field(document, "byte_size"), "byte_size"))

    async def register_cuda(name: str, document: Any) -> None:
        raw_handle = _field(document, "raw_handle")
        encoded = as_text(_nested(raw_handle, "b64"), "b64")
        device_id = as_unsigned(_nested(document, "device_id"), "device_id")
        nbytes = as_unsigned(_nested(document, "byte_size"), "byte_size")
        await regions.register_cuda(name, _handle(encoded), device_id, nbytes)

    return [
        *_routes("/v2/systemsharedmemory", gateway, Kind.SYSTEM, register_system),
        *_routes("/v2/cudasharedmemory", gateway, Kind.CUDA, register_cuda),
    ]


def _routes(base: str, gateway: Gateway, kind: Kind, register: _Register) -> list[Route]:
    regions = gateway.regions

    async def status(request: Request) -> bytes:
        return json_body([_row(entry) for entry in await regions.status(kind, _name(request))])

    async def put(request: Request) -> bytes:
        name = _name(request)
        regions.check_name(kind, name)
        await register(name, json_text.parse(await request.body()))
        return b""

    async def unregister(request: Request) -> bytes:
        await regions.unregister(kind, _name(request))
        return b""

    actions = {"status": Resource({"GET": status}), "register": Resource({"POST": put})}
    actions["unregister"] = Resource({"POST": unregister})
    return [
        Route(f"{base}{region}/{action}", resource)
        for action, resource in actions.items()
        for region in ("", "/region/{region}")
    ]


def _name(request: Request) -> str:
    """The region of the URL, empty where it has none; as it is written in JSON documents."""
    name: str = request.path_params.get("region", "")
    return name.encode("latin-1").decode(errors="replace")


def _row(entry: RegionEntry) -> dict[str, Any]:
    place = {"key": entry.key, "offset": entry.offset} if entry.kind is Kind.SYSTEM else {"device_id": entry.device_id}
    return {"name": entry.name, **place, "byte_size": entry.nbytes}


def _field(document: Any, name: str) -> Any:
    if not has_member(document, name):
        raise InvalidArgument(f"Shared memory register request has no '{name}' field")
    return document[name]


def _nested(document: Any, name: str) -> Any:
    if not has_member(document, name):
        raise InternalError(f"attempt to access non-existing object member '{name}'")
    return document[name]


def _handle(encoded: str) -> bytes:
    try:
        handle = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        handle = b""
    if len(handle) != HANDLE_NBYTES:
        raise InvalidArgument("'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t")
    return handle
