"""Why a call is not let in: one class per situation."""

from __future__ import annotations

from shoal.core.errors import InvalidArgument, Unavailable
from shoal.gateway.errors import Fields, Refusal, TooMuch


class Restricted(Refusal, Unavailable):
    """The category asks for a header that the call does not have (403; in gRPC UNAVAILABLE, as Triton has it)."""

    @property
    def http_status(self) -> int:
        return 403


class Unauthenticated(Refusal, InvalidArgument):
    """No API key, or none that is known (401, UNAUTHENTICATED)."""

    @property
    def http_status(self) -> int:
        return 401

    @property
    def grpc_status(self) -> int:
        return 16

    @property
    def http_fields(self) -> Fields:
        return ((b"www-authenticate", b'Bearer realm="shoal"'),)


class Forbidden(Refusal, InvalidArgument):
    """The API key is not for this (403, PERMISSION_DENIED). `scope` is the one that it lacks."""

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope

    @property
    def http_status(self) -> int:
        return 403

    @property
    def grpc_status(self) -> int:
        return 7

    @property
    def http_fields(self) -> Fields:
        text = f'Bearer realm="shoal", error="insufficient_scope", scope="{self.scope}"'
        return ((b"www-authenticate", text.encode()),)


class KeyExhausted(TooMuch, Unavailable):
    """The API key has used up its requests per second, or has as many open as it may (429, RESOURCE_EXHAUSTED)."""
