from __future__ import annotations

import pytest

from shoal.core.api_keys import ApiKey, ApiKeys, Scope, digest_of
from shoal.gateway.access.errors import KeyExhausted, Unauthenticated
from shoal.gateway.access.keyring import Keyring


def key(name: str, secret: bytes, concurrency: int | None = None) -> ApiKey:
    return ApiKey(name, digest_of(secret), frozenset({Scope.READ}), concurrency=concurrency)


def ring(*keys: ApiKey) -> Keyring:
    return Keyring(ApiKeys(keys), now=0.0)


@pytest.mark.parametrize(
    "metadata",
    [
        {b"authorization": b"Bearer s1"},
        {b"authorization": b"bearer  s1"},
        {b"x-api-key": b"s1"},
        {b"authorization": b"Basic dXNlcg==", b"x-api-key": b"s1"},
    ],
)
def test_a_key_is_found_however_it_is_presented(metadata: dict[bytes, bytes]) -> None:
    assert ring(key("a", b"s0"), key("b", b"s1")).find(metadata).key.name == "b"


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({}, "an API key is required"),
        ({b"authorization": b"Bearer "}, "an API key is required"),
        ({b"authorization": b"Bearer s2"}, "the API key is not valid"),
        ({b"x-api-key": digest_of(b"s1").hex().encode()}, "the API key is not valid"),
    ],
)
def test_nobody_else_is_let_in(metadata: dict[bytes, bytes], text: str) -> None:
    with pytest.raises(Unauthenticated, match=text) as caught:
        ring(key("b", b"s1")).find(metadata)
    assert (caught.value.http_status, caught.value.grpc_status) == (401, 16)
    assert caught.value.http_fields == ((b"www-authenticate", b'Bearer realm="shoal"'),)


def test_a_key_that_did_not_change_is_the_same_caller_after_a_change_of_others() -> None:
    keyring = ring(key("a", b"s0"), key("b", b"s1"))
    caller = keyring.find({b"x-api-key": b"s1"})
    keyring.replace(ApiKeys((key("b", b"s1"), key("c", b"s2"))), now=1.0)
    assert keyring.find({b"x-api-key": b"s1"}) is caller
    assert len(keyring) == 2
    with pytest.raises(Unauthenticated):
        keyring.find({b"x-api-key": b"s0"})


def test_a_changed_key_counts_its_open_requests_on() -> None:
    keyring = ring(key("a", b"s0", concurrency=1))
    keyring.find({b"x-api-key": b"s0"}).enter(0.0)
    keyring.replace(ApiKeys((key("a", b"new", concurrency=1),)), now=1.0)
    with pytest.raises(KeyExhausted):
        keyring.find({b"x-api-key": b"new"}).enter(1.0)
