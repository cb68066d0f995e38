"""The front door of HTTP: who gets in, before anything is read."""

from __future__ import annotations

import json
import re
from collections.abc import MutableMapping
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from shoal.core.api_keys import ApiKey, ApiKeys, Scope, digest_of
from shoal.core.restricted_api import parse_restrictions
from shoal.gateway.access.access import OPEN, Access
from shoal.gateway.access.caller import work_for
from shoal.gateway.access.keyring import Keyring
from shoal.gateway.access.operations import http_operation
from shoal.gateway.gateway import Gateway
from shoal.gateway.http.app import HttpApp

ONE_OF_EACH = {"{name}": "m", "{version:int}": "1", "{region}": "r", "{repository}": "r"}


def app(access: Access = OPEN) -> HttpApp:
    gateway = MagicMock(access=access, is_draining=False)
    gateway.server_metadata.return_value = {"name": "x"}
    gateway.server_live.return_value = True
    return HttpApp(cast(Gateway, gateway), 1_000_000)


async def ask(app: HttpApp, method: str, path: str, **headers: str) -> tuple[int, dict[bytes, bytes], Any]:
    """Status, headers and document of an answer; reading the body fails the test."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "raw_path": path.encode(), "headers": given, "query_string": b""}
    await app(scope, receive, send)
    work_for(None)
    body = sent[1]["body"]
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(body) if body else None


def with_key(**more: Any) -> Access:
    key = ApiKey("k", digest_of(b"s"), frozenset({Scope.READ}), **more)
    return Access({}, "api", Keyring(ApiKeys((key,)), now=0.0))


def test_every_route_has_a_category() -> None:
    paths = app().paths
    assert len(paths) > 20
    for path in paths:
        actual = re.sub(r"{[^}]+}", lambda place: ONE_OF_EACH[place[0]], path)
        assert http_operation("GET", actual.encode()) is not None, path


async def test_a_restricted_category_is_refused_unread_whatever_the_method_and_the_model() -> None:
    guarded = app(Access(parse_restrictions(["inference:x-infer=letmein"], "api"), "api"))
    for method, model in (("POST", "m"), ("GET", "m"), ("POST", "nobody")):
        status, headers, document = await ask(guarded, method, f"/v2/models/{model}/infer")
        assert (status, headers[b"content-type"]) == (403, b"text/plain")
        assert document == {"error": "This API is restricted, expecting header 'x-infer'"}
    assert (await ask(guarded, "GET", "/v2"))[0] == 200


async def test_without_a_key_nothing_but_probes_and_not_even_the_routes_are_known() -> None:
    guarded = app(with_key())
    status, headers, _ = await ask(guarded, "GET", "/v2")
    assert (status, headers[b"www-authenticate"]) == (401, b'Bearer realm="shoal"')
    assert (await ask(guarded, "GET", "/v2/health/live"))[0] == 200
    assert (await ask(guarded, "GET", "/v2", authorization="Bearer s"))[0] == 200


async def test_a_key_without_the_scope_is_told_which_one() -> None:
    status, headers, document = await ask(app(with_key()), "POST", "/v2/logging", x_api_key="s")
    assert status == 403 and b'scope="manage"' in headers[b"www-authenticate"]
    assert document == {"error": "API key 'k' lacks the scope 'manage'"}


async def test_a_key_that_is_used_up_is_told_when_to_come_again() -> None:
    guarded = app(with_key(requests_per_second=0.5))
    assert (await ask(guarded, "GET", "/v2", x_api_key="s"))[0] == 200
    status, headers, _ = await ask(guarded, "GET", "/v2", x_api_key="s")
    assert (status, headers[b"retry-after"]) == (429, b"2")


@pytest.mark.parametrize("path", ["/v2/models", "/v2/", "/"])
async def test_a_path_without_a_category_is_none(path: str) -> None:
    assert (await ask(app(), "GET", path))[0] == 404
