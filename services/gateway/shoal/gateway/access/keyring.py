"""The API keys that are valid now, found by what a call presents."""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest

from shoal.core.api_keys import ApiKeys, digest_of
from shoal.gateway.access.caller import Caller
from shoal.gateway.access.errors import Unauthenticated

_BEARER = b"bearer"
#: Callers are found by this much of their digest; the whole is compared in constant time.
_INDEX_NBYTES = 8


class Keyring:
    """Changed by `replace` alone. Use it from the event loop's thread only."""

    def __init__(self, keys: ApiKeys, now: float) -> None:
        self.is_health_open = keys.is_health_open
        self._callers: dict[bytes, list[Caller]] = {}
        self.replace(keys, now)

    def __len__(self) -> int:
        return sum(map(len, self._callers.values()))

    def replace(self, keys: ApiKeys, now: float) -> None:
        """Take over these keys instead. A key that did not change keeps its tokens, one that did its open requests."""
        before = {caller.key.name: caller for callers in self._callers.values() for caller in callers}
        callers: dict[bytes, list[Caller]] = {}
        for key in keys.keys:
            known = before.get(key.name)
            caller = known if known is not None and known.key == key else Caller(key, now, known)
            callers.setdefault(key.digest[:_INDEX_NBYTES], []).append(caller)
        self._callers = callers
        self.is_health_open = keys.is_health_open

    def find(self, metadata: Mapping[bytes, bytes]) -> Caller:
        """Who a call comes from, by `authorization: Bearer <key>` or `x-api-key`. Raises Unauthenticated."""
        secret = _presented(metadata)
        if secret is None:
            raise Unauthenticated(
                "an API key is required: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>' "
                "(gRPC: as metadata, in lower case)"
            )
        digest = digest_of(secret)
        for caller in self._callers.get(digest[:_INDEX_NBYTES], ()):
            if compare_digest(caller.key.digest, digest):
                return caller
        raise Unauthenticated("the API key is not valid")


def _presented(metadata: Mapping[bytes, bytes]) -> bytes | None:
    kind, _, secret = metadata.get(b"authorization", b"").strip().partition(b" ")
    if kind.lower() == _BEARER and secret.strip():
        return secret.strip()
    return metadata.get(b"x-api-key", b"").strip() or None
