from __future__ import annotations

import pytest

from shoal.core.api_category import Category
from shoal.core.api_keys import ApiKey, ApiKeys, Scope, digest_of
from shoal.core.restricted_api import parse_restrictions
from shoal.gateway.access.access import OPEN, Access
from shoal.gateway.access.errors import Forbidden, Restricted, Unauthenticated
from shoal.gateway.access.keyring import Keyring
from shoal.gateway.access.operations import INFERENCE, Operation

LOOK = Operation(Category.METADATA, Scope.READ)
LIVE = Operation(Category.HEALTH, None, is_open=True)
MODEL_READY = Operation(Category.HEALTH, None)
KEY = {b"x-api-key": b"s"}


def with_keys(*, is_health_open: bool = True) -> Access:
    key = ApiKey("k", digest_of(b"s"), frozenset({Scope.INFER}))
    return Access({}, "api", Keyring(ApiKeys((key,), is_health_open), now=0.0))


def test_without_rules_everything_is_open() -> None:
    assert OPEN.is_open
    assert not with_keys().is_open


def test_a_restricted_category_asks_for_its_header_with_its_value() -> None:
    access = Access(parse_restrictions(["inference:X-Infer=letmein"], "api"), "api")
    assert access.admit(INFERENCE, {b"x-infer": b"letmein"}) is None
    assert access.admit(LOOK, {}) is None
    for given in ({}, {b"x-infer": b"nope"}, {b"x-infer": b"letmein2"}):
        with pytest.raises(Restricted, match=r"^This API is restricted, expecting header 'X-Infer'$") as caught:
            access.admit(INFERENCE, given)
        assert (caught.value.http_status, caught.value.grpc_status) == (403, 14)


def test_a_key_opens_what_its_scopes_say() -> None:
    access = with_keys()
    caller = access.admit(INFERENCE, KEY)
    assert caller is not None and caller.key.name == "k"
    with pytest.raises(Forbidden, match="API key 'k' lacks the scope 'read'") as caught:
        access.admit(LOOK, KEY)
    assert (caught.value.http_status, caught.value.grpc_status) == (403, 7)
    assert b'error="insufficient_scope", scope="read"' in caught.value.http_fields[0][1]


def test_probes_of_the_server_need_no_key_unless_the_file_says_so() -> None:
    assert with_keys().admit(LIVE, {}) is None
    assert with_keys().admit(LIVE, {b"x-api-key": b"wrong"}) is None
    with pytest.raises(Unauthenticated):
        with_keys(is_health_open=False).admit(LIVE, {})
    assert with_keys(is_health_open=False).admit(LIVE, KEY) is not None


def test_probes_of_a_model_need_a_key_of_any_scope_since_they_tell_which_models_there_are() -> None:
    with pytest.raises(Unauthenticated):
        with_keys().admit(MODEL_READY, {})
    assert with_keys().admit(MODEL_READY, KEY) is not None


def test_a_key_does_not_replace_the_header_of_a_restricted_category() -> None:
    key = ApiKey("k", digest_of(b"s"), frozenset({Scope.INFER}))
    restrictions = parse_restrictions(["inference:x-infer=letmein"], "api")
    access = Access(restrictions, "api", Keyring(ApiKeys((key,)), now=0.0))
    with pytest.raises(Restricted):
        access.admit(INFERENCE, KEY)
    assert access.admit(INFERENCE, {**KEY, b"x-infer": b"letmein"}) is not None
