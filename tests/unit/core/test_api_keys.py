from __future__ import annotations

import hashlib

import pytest

from shoal.core.api_keys import ApiKey, ApiKeys, Scope, digest_of, new_secret, parse_api_keys
from shoal.core.errors import InvalidArgument

DIGEST = "ab" * 32
LEAST = f'name = "a"\nsha256 = "{DIGEST}"\nscopes = ["infer"]\n'


def test_a_key_with_everything() -> None:
    text = f"""
        health = "key"
        [[key]]
        name = "team-a"
        sha256 = "{DIGEST.upper()}"
        scopes = ["infer", "read"]
        models = ["ocr*"]
        requests_per_second = 0.5
        burst = 3
        concurrency = 16
    """
    scopes = frozenset({Scope.INFER, Scope.READ})
    key = ApiKey("team-a", bytes.fromhex(DIGEST), scopes, ("ocr*",), 0.5, 3, 16)
    assert parse_api_keys(text, "f") == ApiKeys((key,), is_health_open=False)


def test_a_key_without_limits_sees_every_model_and_health_is_open() -> None:
    keys = parse_api_keys(f"[[key]]\n{LEAST}", "f")
    assert keys == ApiKeys((ApiKey("a", bytes.fromhex(DIGEST), frozenset({Scope.INFER})),), is_health_open=True)


def test_without_a_burst_the_requests_of_one_second_may_come_at_once() -> None:
    keys = parse_api_keys(f"[[key]]\n{LEAST}requests_per_second = 50\n", "f")
    assert keys.keys[0].burst == 50


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[key", "f: not a TOML document"),
        ("keys = 1", "f: unknown setting 'keys', expected 'health' and [[key]]"),
        ('health = "closed"', "f: 'health' must be"),
        ("[key]\nname = 1", "f: 'key' must be tables"),
        ("[[key]]\nname = 1", "f: key 1: 'name' must be a text"),
        ('[[key]]\nname = "a"', "f: key 1 ('a'): 'sha256' must be the SHA-256 of the secret"),
        (f'[[key]]\nname = "a"\nsha256 = "{DIGEST}"', "f: key 1 ('a'): 'scopes' must be a list of some of infer"),
        (f"[[key]]\n{LEAST}scope = 1", "f: key 1 ('a'): unknown setting 'scope'"),
        (f'[[key]]\n{LEAST}models = "m"', "f: key 1 ('a'): 'models' must be a list of shell patterns"),
        (f"[[key]]\n{LEAST}requests_per_second = 0", "'requests_per_second' must be a number above 0"),
        (f"[[key]]\n{LEAST}requests_per_second = inf", "'requests_per_second' must be a number above 0"),
        (f"[[key]]\n{LEAST}burst = 9", "'burst' must be 'requests_per_second' beside it"),
        (f"[[key]]\n{LEAST}concurrency = 1.5", "'concurrency' must be a whole number of 1 or more"),
        (f"[[key]]\n{LEAST}[[key]]\n{LEAST}", "f: two keys have the same name"),
        (f"[[key]]\n{LEAST}[[key]]\n{LEAST.replace('a', 'b', 1)}", "f: "),
    ],
)
def test_what_is_wrong_is_told_with_file_key_and_field(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_api_keys(text, "f")
    assert complaint in caught.value.message


def test_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_api_keys('[[key]]\nname = "a"\nsha256 = "shoal_s3cr3t"', "f")
    assert "s3cr3t" not in caught.value.message


def test_secrets_are_random_and_known_by_their_digest() -> None:
    secret = new_secret()
    assert secret != new_secret()
    assert digest_of(secret.encode()) == hashlib.sha256(secret.encode()).digest()
