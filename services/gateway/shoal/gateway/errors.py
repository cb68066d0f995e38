"""Errors that tell a client how to go on, beside their text: in headers of HTTP, in trailing metadata of gRPC."""

from __future__ import annotations

import math

from shoal.core.errors import ShoalError, Unavailable

#: Names and values, of HTTP headers or of gRPC metadata; names are in lower case.
Fields = tuple[tuple[bytes, bytes], ...]


class Refusal(ShoalError):
    """Nothing was executed. `http_fields` and `grpc_fields` go out with the answer."""

    @property
    def http_fields(self) -> Fields:
        return ()

    @property
    def grpc_fields(self) -> Fields:
        return ()


class TooMuch(Refusal):
    """More than there is room for now: worth another try after `retry_after_s` seconds.

    gRPC clients with a retry policy obey `grpc-retry-pushback-ms` (gRPC's proposal A6); people read `retry-after`.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    @property
    def http_status(self) -> int:
        return 429

    @property
    def grpc_status(self) -> int:
        """RESOURCE_EXHAUSTED."""
        return 8

    @property
    def http_fields(self) -> Fields:
        return ((b"retry-after", b"%d" % max(1, math.ceil(self.retry_after_s))),)

    @property
    def grpc_fields(self) -> Fields:
        pushback_ms = max(1, math.ceil(self.retry_after_s * 1e3))
        return (*self.http_fields, (b"grpc-retry-pushback-ms", b"%d" % pushback_ms))


class Overloaded(TooMuch, Unavailable):
    """This gateway has as much in flight as it may; worth another try after a second."""
