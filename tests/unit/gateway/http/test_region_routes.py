"""The routes of the shared-memory extensions. Statuses, texts and content types are the real Triton's."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.routing import Router

from client_files import ClientFile
from local_shared import LocalShared
from segments import segment_folder
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.region_routes import region_routes
from shoal.gateway.http.resource import not_found
from shoal.gateway.regions import DISABLED, Regions

SYSTEM, CUDA = "/v2/systemsharedmemory", "/v2/cudasharedmemory"
HANDLE = {"b64": base64.b64encode(bytes(64)).decode()}


@pytest.fixture
def folder() -> Iterator[Path]:
    with segment_folder() as made:
        yield made


class Client:
    """Asks the routes of one gateway."""

    def __init__(self, folder: Path, is_allowed: bool = True) -> None:
        gateway = SimpleNamespace(regions=Regions(LocalShared(), is_allowed=is_allowed, folder=folder))
        routes = region_routes(cast(Gateway, gateway))
        self._router = Router(routes, redirect_slashes=False, default=not_found)

    async def ask(self, method: str, path: str, document: Any = None) -> tuple[int, bytes, bytes]:
        """Status, content type and body; a document that is bytes is the body as it is."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
        await self._router(scope, receive, send)
        start, content = sent
        return start["status"], dict(start["headers"])[b"content-type"], content["body"]

    async def refusal(self, method: str, path: str, document: Any = None) -> tuple[int, str]:
        status, content_type, body = await self.ask(method, path, document)
        assert content_type == b"application/json"
        return status, json.loads(body)["error"]


@pytest.fixture
def client(folder: Path) -> Client:
    ClientFile("k", bytes(64), folder)
    return Client(folder)


async def test_a_region_is_registered_listed_and_unregistered(client: Client) -> None:
    done = (200, b"application/json", b"")
    assert await client.ask("POST", f"{SYSTEM}/region/b/register", {"key": "/k", "byte_size": 64}) == done
    assert await client.ask("POST", f"{SYSTEM}/region/a/register", {"key": "k", "offset": 8, "byte_size": 56}) == done
    rows = [
        {"name": "a", "key": "k", "offset": 8, "byte_size": 56},
        {"name": "b", "key": "/k", "offset": 0, "byte_size": 64},
    ]
    status, content_type, body = await client.ask("GET", f"{SYSTEM}/status")
    assert (status, content_type, json.loads(body)) == (200, b"application/json", rows)
    assert json.loads((await client.ask("GET", f"{SYSTEM}/region/b/status"))[2]) == rows[1:]
    assert await client.ask("POST", f"{SYSTEM}/region/b/unregister") == done
    assert await client.ask("POST", f"{SYSTEM}/unregister") == done
    assert await client.ask("GET", f"{SYSTEM}/status") == (200, b"application/json", b"[]")


NOT_UNSIGNED = "attempt to access JSON non-unsigned-integer as unsigned-integer"


@pytest.mark.parametrize(
    ("document", "status", "text"),
    [
        (b"", 500, "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b"{", 500, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        ([1], 400, "Shared memory register request has no 'key' field"),
        ({"byte_size": 1}, 400, "Shared memory register request has no 'key' field"),
        ({"key": "/k"}, 400, "Shared memory register request has no 'byte_size' field"),
        ({"key": 5, "byte_size": 1}, 500, "attempt to access JSON non-string as string"),
        ({"key": "/k", "byte_size": -1}, 500, NOT_UNSIGNED),
        ({"key": "/k", "byte_size": "64"}, 500, NOT_UNSIGNED),
        ({"key": "/k", "offset": "0", "byte_size": 1}, 500, NOT_UNSIGNED),
        ({"key": "/k", "byte_size": 65}, 400, "failed to register shared memory region 'r': invalid args"),
        ({"key": "/../k", "byte_size": 1}, 500, "Unable to open shared memory region: '/../k'"),
    ],
)
async def test_a_registration_says_what_and_how_much(client: Client, document: Any, status: int, text: str) -> None:
    found, error = await client.refusal("POST", f"{SYSTEM}/region/r/register", document)
    assert found == status
    assert text in error


@pytest.mark.parametrize(
    ("document", "status", "text"),
    [
        ({"device_id": 0, "byte_size": 1}, 400, "Shared memory register request has no 'raw_handle' field"),
        ({"raw_handle": {}}, 500, "attempt to access non-existing object member 'b64'"),
        ({"raw_handle": HANDLE}, 500, "attempt to access non-existing object member 'device_id'"),
        ({"raw_handle": HANDLE, "device_id": 0}, 500, "attempt to access non-existing object member 'byte_size'"),
        (
            {"raw_handle": {"b64": "eHg="}, "device_id": 0, "byte_size": 1},
            400,
            "'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t",
        ),
        (
            {"raw_handle": HANDLE, "device_id": 0, "byte_size": 1},
            400,
            "failed to register CUDA shared memory region: 'r', GPUs not supported",
        ),
    ],
)
async def test_device_memory_is_registered_by_its_handle(client: Client, document: Any, status: int, text: str) -> None:
    assert await client.refusal("POST", f"{CUDA}/region/r/register", document) == (status, text)


@pytest.mark.parametrize(("base", "kind"), [(SYSTEM, "system"), (CUDA, "cuda")])
async def test_a_registration_needs_a_name(client: Client, base: str, kind: str) -> None:
    text = f"'region name' is necessary to register {kind} shared memory region"
    assert await client.refusal("POST", f"{base}/register", {}) == (400, text)


async def test_an_unknown_region_has_no_status(client: Client) -> None:
    for base, kind in ((SYSTEM, "system"), (CUDA, "cuda")):
        refusal = await client.refusal("GET", f"{base}/region/none/status")
        assert refusal == (404, f"Unable to find {kind} shared memory region: 'none'")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/status"), ("GET", "/region/r/register"), ("GET", "/unregister"), ("GET", "/region/r/unregister")],
)
async def test_each_action_has_its_method(client: Client, method: str, path: str) -> None:
    for base in (SYSTEM, CUDA):
        assert await client.refusal(method, base + path) == (405, "Method Not Allowed")


async def test_other_actions_are_not_found(client: Client) -> None:
    assert (await client.ask("POST", f"{SYSTEM}/region/r/erase"))[:2] == (404, b"text/plain")


@pytest.mark.parametrize("base", [SYSTEM, CUDA])
async def test_without_permission_there_is_a_status_only(folder: Path, base: str) -> None:
    client = Client(folder, is_allowed=False)
    for path in ("/register", "/region/r/register", "/region/r/unregister", "/unregister"):
        assert await client.refusal("POST", base + path, b"{") == (501, DISABLED)
    assert await client.ask("GET", base + "/status") == (200, b"application/json", b"[]")


async def test_a_name_may_have_any_characters(client: Client) -> None:
    path = "/region/\u00e9".encode().decode("latin-1")
    await client.ask("POST", f"{SYSTEM}{path}/register", {"key": "/k", "byte_size": 1})
    assert json.loads((await client.ask("GET", f"{SYSTEM}{path}/status"))[2])[0]["name"] == "\u00e9"
