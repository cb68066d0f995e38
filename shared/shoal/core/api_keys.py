"""API keys: who may do what, as a TOML file says it.

    health = "open"                    # or "key": probes need a key, too

    [[key]]
    name = "team-a"                    # as it appears in logs
    sha256 = "9f86d0818...0f00a08"     # of the secret; `shoal keys new` makes both
    scopes = ["infer", "read"]         # of infer, read, manage
    models = ["ocr*", "asr"]           # shell patterns, default ["*"]; other models do not exist for this key
    requests_per_second = 100          # default: no limit
    burst = 200                        # requests that may come at once, default: those of one second
    concurrency = 16                   # requests at the same time, default: no limit

The file holds digests, no secrets. Secrets are random (256 bits), so that a fast digest is enough: there is nothing to
guess.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shoal.core.errors import InvalidArgument

_SECRET_PREFIX = "shoal_"
_SECRET_NBYTES = 32
_DIGEST = re.compile("[0-9a-f]{64}")
_HEALTH = ("open", "key")


class Scope(StrEnum):
    """What a key is for: inference, looking, or changing what the server does."""

    INFER = "infer"
    READ = "read"
    MANAGE = "manage"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. `digest`: SHA-256 of the secret. `models`: shell patterns of the names that exist for it.

    `requests_per_second` and `concurrency` None: no limit; `burst`: requests that may come at once.
    """

    name: str
    digest: bytes
    scopes: frozenset[Scope]
    models: tuple[str, ...] = ("*",)
    requests_per_second: float | None = None
    burst: float = 1
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """All keys of a file. `is_health_open`: probes need no key."""

    keys: tuple[ApiKey, ...]
    is_health_open: bool = True


def new_secret() -> str:
    """A random secret that shows what it is for."""
    return _SECRET_PREFIX + secrets.token_urlsafe(_SECRET_NBYTES)


def digest_of(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def parse_api_keys(text: str, source: str) -> ApiKeys:
    """The keys of a file's text. Raises InvalidArgument naming `source`, the key and what was expected; values are
    not repeated, since a secret may have come where it does not belong."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"{source}: not a TOML document: {error}") from None
    health = document.pop("health", _HEALTH[0])
    tables = document.pop("key", [])
    if document:
        raise InvalidArgument(f"{source}: unknown setting '{next(iter(document))}', expected 'health' and [[key]]")
    if health not in _HEALTH:
        raise InvalidArgument(f'{source}: \'health\' must be "open" or "key"')
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidArgument(f"{source}: 'key' must be tables: start each with [[key]]")
    keys = tuple(_Reader(table, f"{source}: key {number}").key() for number, table in enumerate(tables, 1))
    for what, values in (("name", [key.name for key in keys]), ("sha256", [key.digest for key in keys])):
        if len(set(values)) < len(values):
            raise InvalidArgument(f"{source}: two keys have the same {what}")
    return ApiKeys(keys, health == _HEALTH[0])


class _Reader:
    """Takes one table apart; `where` says which."""

    # Values of a TOML document are of any type until they are checked.
    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self._left = dict(table)
        self._where = where

    def key(self) -> ApiKey:
        name = self._take("name", None)
        if not isinstance(name, str) or not name.isprintable() or not name:
            raise self._wrong("name", "a text")
        self._where += f" ('{name}')"
        rate = self._number("requests_per_second", math.ulp(0.0))
        burst = self._number("burst", 1)
        if burst is not None and rate is None:
            raise self._wrong("burst", "'requests_per_second' beside it")
        key = ApiKey(
            name=name,
            digest=self._digest(),
            scopes=self._scopes(),
            models=self._models(),
            requests_per_second=rate,
            burst=burst or max(1.0, rate or 1.0),
            concurrency=self._concurrency(),
        )
        if self._left:
            raise InvalidArgument(f"{self._where}: unknown setting '{next(iter(self._left))}'")
        return key

    def _take(self, field: str, default: Any) -> Any:
        return self._left.pop(field, default)

    def _wrong(self, field: str, expected: str) -> InvalidArgument:
        return InvalidArgument(f"{self._where}: '{field}' must be {expected}")

    def _digest(self) -> bytes:
        text = self._take("sha256", "")
        if not isinstance(text, str) or not _DIGEST.fullmatch(text.lower()):
            raise self._wrong("sha256", "the SHA-256 of the secret, 64 hexadecimal digits")
        return bytes.fromhex(text)

    def _scopes(self) -> frozenset[Scope]:
        given = self._take("scopes", [])
        known = ", ".join(Scope)
        if not isinstance(given, list) or not given or any(scope not in tuple(Scope) for scope in given):
            raise self._wrong("scopes", f"a list of some of {known}")
        return frozenset(map(Scope, given))

    def _models(self) -> tuple[str, ...]:
        given = self._take("models", ["*"])
        if not isinstance(given, list) or not all(isinstance(pattern, str) for pattern in given):
            raise self._wrong("models", 'a list of shell patterns, e.g. ["ocr*"]')
        return tuple(given)

    def _number(self, field: str, low: float) -> float | None:
        given = self._take(field, None)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not low <= given < math.inf:
            raise self._wrong(field, f"a number {'of 1 or more' if low == 1 else 'above 0'}")
        return float(given)

    def _concurrency(self) -> int | None:
        given = self._take("concurrency", None)
        if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
            raise self._wrong("concurrency", "a whole number of 1 or more")
        return given
